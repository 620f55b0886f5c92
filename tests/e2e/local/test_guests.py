"""The machines of the POD, as the descriptors say."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import HOSTNAMES, Iecpod

ADDRESSES = {
    "iec01": {"enp1s0": "192.168.11.21/24", "enp2s0": "172.16.10.36/24", "enp4s0": "10.0.19.137/24"},
    "iec02": {"enp1s0": "192.168.11.22/24", "enp2s0": "172.16.10.37/24", "enp4s0": "10.0.19.138/24"},
    "iec03": {"enp1s0": "192.168.11.23/24", "enp2s0": "172.16.10.38/24", "enp4s0": "10.0.19.139/24"},
}


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_interfaces_have_the_names_and_addresses_of_the_plan(guests: Iecpod, hostname: str) -> None:
    links = {link["ifname"]: link for link in json.loads(guests.on_node(hostname, "ip", "-j", "-4", "address"))}
    seen = {
        name: "{local}/{prefixlen}".format(**link["addr_info"][0])
        for name, link in links.items()
        if name.startswith("enp")
    }
    assert seen == ADDRESSES[hostname]
    assert {links[name]["mtu"] for name in seen} == {1500}
    private = json.loads(guests.on_node(hostname, "ip", "-j", "address", "show", "enp3s0"))[0]
    assert [entry for entry in private["addr_info"] if entry["family"] == "inet"] == []
    routes = json.loads(guests.on_node(hostname, "ip", "-j", "route", "show", "default"))
    assert [(route["gateway"], route["dev"]) for route in routes] == [("10.0.19.1", "enp4s0")]


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_names_keys_and_time(guests: Iecpod, hostname: str) -> None:
    assert guests.on_node(hostname, "hostname").strip() == hostname
    assert guests.on_node(hostname, "hostname", "--fqdn").strip() == f"{hostname}.mcp-iec-noha.local"
    hosts = [line.split() for line in guests.on_node(hostname, "cat", "/etc/hosts").splitlines()]
    for name in HOSTNAMES:
        address = ADDRESSES[name]["enp2s0"].split("/")[0]
        assert [address, f"{name}.mcp-iec-noha.local", name] in hosts
        assert guests.on_node(hostname, "getent", "ahostsv4", name).split()[0] == address
    served = guests.on_node(hostname, "sudo", "sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub").split()
    assert served.count("ssh-ed25519") == 1 and "ssh-rsa" not in served
    pinned = (guests.pod_dir / "keys" / "known_hosts").read_text()
    assert served[1] in pinned
    effective = guests.on_node(hostname, "sudo", "sshd", "-T").lower().splitlines()
    assert "passwordauthentication no" in effective
    servers = guests.on_node(hostname, "sh", "-c", "cat /etc/systemd/timesyncd.conf.d/*.conf")
    assert "pool.ntp.org" in servers
    timers = guests.on_node(
        hostname, "sh", "-c", "systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer || true"
    )
    assert timers.split() == ["masked", "masked"]


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_time_is_that_of_the_host(guests: Iecpod, hostname: str) -> None:
    """No server of time is reached here: it has passed as on the host since the boot."""
    assert guests.seconds_off(hostname) < 3


def test_a_wrong_host_key_is_refused(guests: Iecpod, tmp_path: Path) -> None:
    """What `iecpod ssh` runs, with another pinned key."""
    known_hosts = guests.pod_dir / "keys" / "known_hosts"
    original = known_hosts.read_text()
    lines = [line.split() for line in original.splitlines()]
    swapped = {lines[0][2]: next(key for _, _, key in lines if key != lines[0][2])}
    try:
        known_hosts.write_text("\n".join(" ".join([a, t, swapped.get(k, k)]) for a, t, k in lines) + "\n")
        refused = guests.run("ssh", "iec01", "--", "true")
    finally:
        known_hosts.write_text(original)
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_disks_are_overlays_of_one_read_only_image(guests: Iecpod) -> None:
    backing = set()
    for hostname in HOSTNAMES:
        volume = guests.pod_dir / "pool" / f"{hostname}.qcow2"
        info = json.loads(subprocess.check_output(["qemu-img", "info", "-U", "--output=json", str(volume)]))
        assert info["virtual-size"] == 8 * 1024**3
        backing.add(info["full-backing-filename"])
    (image,) = backing
    assert Path(image).stat().st_mode & 0o777 == 0o444
    size_mib = int(guests.on_node("iec01", "df", "--output=size", "-BM", "/").split()[-1].rstrip("M"))
    assert size_mib > 7000, "the root file system was not grown to the disk's size"


def test_sizes_are_those_of_the_pdf(guests: Iecpod) -> None:
    assert guests.on_node("iec01", "nproc").strip() == "2"
    assert guests.on_node("iec02", "nproc").strip() == "1"
