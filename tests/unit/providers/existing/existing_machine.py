"""A machine that is fit to become a node, as its facts and as the text that it prints of itself."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from iecpod.cni.registry import ALL_MODULES
from iecpod.providers.existing.node_facts import PROGRAMS, NodeFacts, NodeLink, NodeRoute, RecordOwner
from iecpod.providers.existing.node_sections import END

INSTALLATION = "9b2e3c1a-7a51-4c1e-9a50-0f7b7f6c2d11"


def facts(number: int = 1, **changes: Any) -> NodeFacts:
    """Of `iec0NUMBER` of the cluster in conftest.py."""
    address = f"172.16.10.{35 + number}"
    good = NodeFacts(
        os_name="debian12",
        os_title="Debian GNU/Linux 12 (bookworm)",
        machine="x86_64",
        kernel="6.1.0-18-amd64",
        hostname=f"edge{number}",
        machine_id=f"{number:032x}",
        product_uuid=f"00000000-0000-0000-0000-{number:012x}",
        skew_seconds=0.4,
        skew_error_seconds=1.1,
        virtualization="kvm",
        has_systemd=True,
        has_cgroup_2=True,
        cpus=2,
        memory_mib=4096,
        available_mib=3000,
        free_mib=20000,
        swaps=(),
        listening=frozenset({22}),
        udp_ports=frozenset({68}),
        links=(
            NodeLink("lo", "", 65536, (IPv4Interface("127.0.0.1/8"),)),
            NodeLink("enp2s0", f"52:54:00:00:00:{number:02x}", 1500, (IPv4Interface(f"{address}/24"),)),
        ),
        routes=(NodeRoute(IPv4Network("172.16.10.0/24"), "enp2s0"),),
        modules={"overlay": "loaded", "br_netfilter": "available", **dict.fromkeys(ALL_MODULES, "available")},
        programs=frozenset(PROGRAMS),
        clusters=(),
        units=frozenset(),
        owner=None,
        record_is_odd=False,
    )
    return dataclasses.replace(good, **changes)


def of_pod(pod: str = "nodes/edge", node: str = "iec01", installation: str = INSTALLATION) -> RecordOwner:
    return RecordOwner(installation, pod, node)


SECTIONS = {
    "os_release": (0, 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"'),
    "machine": (0, "x86_64"),
    "kernel": (0, "6.1.0-18-amd64"),
    "hostname": (0, "Edge1.example.org"),
    "machine_id": (0, "3d1219c7c4c5404aaa1f6d2a48adfda4"),
    "product_uuid": (1, ""),
    "clock": (0, "1700000010"),
    "systemd": (0, ""),
    "virtualization": (1, "none"),
    "cgroup": (0, "cgroup2fs"),
    "processors": (0, "4"),
    "memory": (0, "MemTotal:        4194304 kB\nMemFree: 100 kB\nMemAvailable:    2097152 kB"),
    "space": (0, "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 100 10 20971520 11% /"),
    "swaps": (0, "/dev/vda5                               partition\t1048572\t\t2048\t\t-2"),
    "listening": (0, "00000000:0016\n00000000000000000000000000000000:192B"),
    "udp": (0, "00000000:0044\n0100007F:12B5"),
    "links": (
        0,
        "1: lo: <LOOPBACK,UP> mtu 65536 qdisc noqueue state UNKNOWN \\    link/loopback 00:00:00:00:00:00 brd 0\n"
        "2: eth0@if7: <BROADCAST,UP> mtu 1450 qdisc fq state UP \\    link/ether 52:54:00:ab:cd:ef brd ff:ff",
    ),
    "addresses": (0, "2: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\\       valid_lft forever"),
    "routes": (
        0,
        "default via 10.0.0.1 dev eth0 \n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.5 \n"
        "blackhole 10.9.0.0/16 proto static \nlocal 10.0.0.5 dev eth0 table local",
    ),
    "modules": (0, "overlay loaded\nbr_netfilter missing"),
    "programs": (0, "apt-get\nip"),
    "cluster": (0, "/etc/kubernetes/kubelet.conf"),
    "units": (0, "kubelet"),
    "record": (0, f"installation={INSTALLATION}\npod=nodes/edge\nnode=iec01"),
}


def printed(**changes: tuple[int, str]) -> str:
    """What the script would print; `changes` are sections by name."""
    text = ""
    for name, (status, output) in {**SECTIONS, **changes}.items():
        lines = "".join(f" {line}\n" for line in output.split("\n")) if output else ""
        text += f"[{name}]\n{lines}={status}\n"
    return text + END.replace("echo '", "").replace("'", "")
