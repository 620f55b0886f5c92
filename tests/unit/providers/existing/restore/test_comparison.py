"""What differs on a node from its record: the script itself, on a node that is a set of shell functions."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from iecpod.providers.existing.node_facts import RECORD_DIR
from iecpod.providers.existing.restore.comparison import COMPARE, COMPARED, STAYS
from iecpod.providers.existing.restore.observation import OBSERVED

#: As it is recorded; a node prints the same until something changes.
NODE: Mapping[str, str] = {
    "modules": "ext4\nnf_tables\n",
    "packages": "base-files 12\nlibc6:amd64 2.36\n",
    "holds": "linux-image\n",
    "enabled": "cron.service enabled\nfoo.swap enabled\n",
    "active": "cron.service\nsession-1.scope\n",
    "sysctls": "net/ipv4/ip_forward\t0\nkernel/panic\t0\n",
    "swaps": "/dev/vda5 5\n/swapfile -2\n",
    "interfaces": "lo\neth0\n",
    "namespaces": "blue\n",
    "routes": "10.0.0.0/24 dev eth0 proto kernel\ndefault via 10.0.0.1 dev eth0 proto static\n",
    "rules": "# iptables-nft\n*filter\n:INPUT ACCEPT [0:0]\n:LAB - [0:0]\n-A INPUT -p tcp --dport 7 -j DROP\nCOMMIT\n",
    "ipsets": "lab\n",
    "hosts": "127.0.0.1 localhost\n",
    "fstab": "/dev/vda1 / ext4 defaults 0 1\n",
}
SET = {"set-packages": "kubelet\n", "set-dependencies": "socat\nconntrack\n", "set-masked": "bar.swap\n"}
CASES = [
    ("packages", "kubelet 1.37\n", "package kubelet"),
    ("packages", "conntrack 1\n", "package conntrack"),
    ("packages", "socat 1\n", "stays: package socat, which a package needs that others have installed"),
    ("packages", "vim 9\n", "stays: package vim, which others have installed"),
    ("holds", "kubelet\n", "package kubelet, which is held"),
    ("holds", "vim\n", "stays: package vim, which others hold"),
    ("enabled", "kubelet.service enabled\n", "unit kubelet.service, which is enabled"),
    ("enabled", "bar.swap masked\n", "unit bar.swap, which is masked"),
    ("enabled", "nginx.service enabled\n", "stays: unit nginx.service, which others have enabled"),
    ("active", "containerd.service\n", "unit containerd.service, which is active"),
    ("swaps", "/dev/zram0 100\n", "stays: swap /dev/zram0, which others have switched on"),
    ("interfaces", "kube-bridge\n", "interface kube-bridge"),
    ("interfaces", "veth12ab\n", "interface veth12ab"),
    ("interfaces", "br-12ab\n", "interface br-12ab"),
    ("interfaces", "own0\n", "stays: interface own0, which others have made"),
    (
        "interfaces",
        "tunl0\n",
        "stays: interface tunl0, which is there as long as its kernel module: until a reboot",
    ),
    ("namespaces", "cni-1234\n", "network namespace cni-1234"),
    ("namespaces", "red\n", "stays: network namespace red, which others have made"),
    ("routes", "100.100.1.0/24 via 10.0.0.2 dev eth0\n", "route 100.100.1.0/24 via 10.0.0.2 dev eth0"),
    ("routes", "10.9.0.0/16 dev eth0\n", "stays: route 10.9.0.0/16 dev eth0, which others have made"),
    ("ipsets", "kube-router-all\n", "ipset kube-router-all"),
    ("ipsets", "fail2ban\n", "stays: ipset fail2ban, which others have made"),
    (
        "rules",
        "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\nCOMMIT\n",
        "rule of iptables-nft in table nat: :KUBE-SERVICES - [0:0]",
    ),
    (
        "rules",
        "*nat\n-A POSTROUTING -s 100.100.0.0/16 -j MASQUERADE\nCOMMIT\n",
        "rule of iptables-nft in table nat: -A POSTROUTING -s 100.100.0.0/16 -j MASQUERADE",
    ),
    (
        "rules",
        "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n",
        "policy of iptables-nft in table filter: :FORWARD DROP [0:0]",
    ),
    (
        "rules",
        "*filter\n-A INPUT -j LOG\nCOMMIT\n",
        "stays: rule of iptables-nft in table filter, which others have made: -A INPUT -j LOG",
    ),
    ("hosts", "# iecpod: begin\n", "line of /etc/hosts: # iecpod: begin"),
    ("hosts", "10.1.1.1 other\n", "stays: line of /etc/hosts, which others have added: 10.1.1.1 other"),
    (
        "fstab",
        "#iecpod-swap# /swapfile none swap sw 0 0\n",
        "line of /etc/fstab: #iecpod-swap# /swapfile none swap sw 0 0",
    ),
    (
        "modules",
        "overlay\nvxlan\n",
        "stays: kernel modules that stay until a reboot, as they are in use or cannot be unloaded: overlay vxlan",
    ),
]
MISSING = [
    ("packages", "base-files 12\n", "package base-files, which is missing"),
    ("holds", "linux-image\n", "package linux-image, which is not held any more"),
    ("enabled", "foo.swap enabled\n", "unit foo.swap, which is not enabled any more"),
    ("active", "cron.service\n", "unit cron.service, which is not active any more"),
    ("swaps", "/swapfile -2\n", "swap /swapfile, which is off"),
    ("interfaces", "eth0\n", "interface eth0, which is missing"),
    ("namespaces", "blue\n", "network namespace blue, which is missing"),
    (
        "routes",
        "default via 10.0.0.1 dev eth0 proto static\n",
        "route default via 10.0.0.1 dev eth0 proto static, which is missing",
    ),
    (
        "routes",
        "10.0.0.0/24 dev eth0 proto kernel\n",
        "stays: route 10.0.0.0/24 dev eth0 proto kernel, which is missing: it comes and goes by itself",
    ),
    (
        "rules",
        "-A INPUT -p tcp --dport 7 -j DROP\n",
        "rule of iptables-nft in table filter, which is missing: -A INPUT -p tcp --dport 7 -j DROP",
    ),
    ("ipsets", "lab\n", "ipset lab, which is missing"),
    ("hosts", "127.0.0.1 localhost\n", "line of /etc/hosts, which is missing: 127.0.0.1 localhost"),
    ("fstab", "/dev/vda1 / ext4 defaults 0 1\n", "line of /etc/fstab, which is missing: /dev/vda1 / ext4 defaults 0 1"),
]


def compare(
    tmp_path: Path, now: Mapping[str, str], recorded: Mapping[str, str] | None = None, stubs: str = ""
) -> list[str]:
    """What the script prints. On the node, packages conntrack and socat came by themselves, and socat is needed."""
    record, seen = tmp_path / "record", tmp_path / "seen"
    record.mkdir()
    seen.mkdir()
    kept = {"owner": "", "claims": "", "set-cidrs": "100.100.0.0/16 10.96.0.0/12\n".replace(" ", "\n"), **SET}
    for name, text in {**kept, **(NODE if recorded is None else recorded)}.items():
        (record / name).write_text(text)
    for name, text in {**NODE, **now}.items():
        (seen / name).write_text(text)
    lists = "\n".join(f"list_{what}() {{ cat {seen}/{what}; }}" for what in OBSERVED)
    program = tmp_path / "apt-mark"
    program.write_text("#!/bin/sh\nprintf 'conntrack\\nsocat\\n'\n")
    program.chmod(0o755)
    node = f"""
    systemctl() {{ :; }}
    unload_modules() {{ :; }}
    PATH={tmp_path}:$PATH
    dpkg() {{ test "$3" != socat; }}
    ip() {{ test "$7" != 100.100.0.0/16 || echo '100.100.1.0/24 via 10.0.0.2 dev eth0 '; }}
    {lists}
    {stubs}
    """
    begin = "\nnow=$(mktemp"
    assert COMPARE.count(begin) == 1
    script = (
        COMPARE.replace(begin, f"\n{node}{begin}").replace(RECORD_DIR, str(record)).replace("/run/", f"{tmp_path}/")
    )
    done = subprocess.run(["sh", "-c", script, "compare"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.glob("iecpod-compare.*"))
    *listed, end = done.stdout.splitlines()
    assert end == COMPARED
    return listed


def test_a_node_that_is_as_before_has_no_difference(tmp_path: Path) -> None:
    assert set(NODE) == set(OBSERVED)
    assert compare(tmp_path, {}) == []


@pytest.mark.parametrize(("what", "line", "difference"), CASES)
def test_what_is_new_is_left_where_it_is_the_deploys(tmp_path: Path, what: str, line: str, difference: str) -> None:
    assert compare(tmp_path, {what: NODE[what] + line}) == [difference]


@pytest.mark.parametrize(("what", "line", "difference"), MISSING)
def test_what_is_missing_is_left(tmp_path: Path, what: str, line: str, difference: str) -> None:
    assert line in NODE[what]
    assert compare(tmp_path, {what: NODE[what].replace(line, "")}) == [difference]


def test_what_changed_is_left(tmp_path: Path) -> None:
    now = {
        "packages": NODE["packages"].replace("2.36", "2.37"),
        "sysctls": NODE["sysctls"].replace("kernel/panic\t0", "kernel/panic\t10"),
        "swaps": "/dev/vda5 -3\n/swapfile -4\n",
    }
    assert compare(tmp_path, now) == [
        "stays: package libc6:amd64, which is 2.37 and was 2.36",
        "sysctl kernel/panic",
        "swap /dev/vda5, whose priority is -3 and was 5",
    ]


def test_a_package_of_the_deploy_that_it_upgraded_is_left(tmp_path: Path) -> None:
    recorded = {**NODE, "packages": "kubelet 1.30\n"}
    assert compare(tmp_path, {"packages": "kubelet 1.37\n"}, recorded) == [
        "package kubelet, which is 1.37 and was 1.30"
    ]


def test_devices_of_a_runtime_that_was_there_may_be_others(tmp_path: Path) -> None:
    packages = NODE["packages"] + "docker.io 20\n"
    now = {"packages": packages, "interfaces": NODE["interfaces"] + "veth1\n"}
    assert compare(tmp_path, now, {**NODE, "packages": packages}) == [
        "stays: interface veth1, which others may have made"
    ]


def test_what_the_node_does_not_list_is_unknown(tmp_path: Path) -> None:
    assert compare(tmp_path, {}, stubs="list_active() { return 1; }") == [
        "its active, which are unknown: the node does not list them"
    ]


def test_a_record_of_an_earlier_version_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    """It has no routes and ipsets, and no priorities of swap."""
    recorded = {name: text for name, text in NODE.items() if name not in ("routes", "ipsets")}
    now = {"routes": "", "ipsets": "KUBE-A\n", "swaps": "/dev/vda5 7\n"}
    assert compare(tmp_path, now, {**recorded, "swaps": "/dev/vda5\n/swapfile\n"}) == ["swap /swapfile, which is off"]


def test_every_case_says_whether_it_is_left() -> None:
    assert {what for what, _, difference in CASES if not difference.startswith(STAYS)} >= set(OBSERVED) - {
        *("modules", "sysctls", "swaps"),
    }


def test_a_unit_of_iecpod_that_was_there_before_is_no_difference(tmp_path: Path) -> None:
    unit = "iecpod-old.service enabled\n"
    stubs = "systemctl() { printf 'iecpod-old.service enabled enabled\\niecpod-new.service disabled enabled\\n'; }"
    enabled = {"enabled": NODE["enabled"] + unit}
    assert compare(tmp_path, enabled, {**NODE, **enabled}, stubs) == ["unit iecpod-new.service"]


def test_a_swap_that_was_the_only_one_is_missed(tmp_path: Path) -> None:
    """awk counts the lines of an empty first file as those of the second."""
    recorded = {**NODE, "swaps": "/swapfile -2\n"}
    assert compare(tmp_path, {"swaps": ""}, recorded) == ["swap /swapfile, which is off"]
