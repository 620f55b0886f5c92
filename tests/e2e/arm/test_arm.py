"""The headline POD, arm/virtual2: aarch64 guests up to SSH, then their cluster; emulated where need be."""

from __future__ import annotations

import json

import pytest

from tests.e2e.command import HOSTNAMES, Iecpod

ADDRESSES = {
    hostname: {f"192.168.11.{21 + index}/24", f"172.16.10.{36 + index}/24", f"10.0.19.{137 + index}/24"}
    for index, hostname in enumerate(HOSTNAMES)
}


def test_the_plan_says_what_differs_from_the_pdf(guests: Iecpod) -> None:
    plan = guests.check("plan")
    assert "aarch64  2 (PDF: 8)  2048 MiB (PDF: 6144 MiB)" in plan


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_guests_are_aarch64_on_their_planned_addresses(guests: Iecpod, hostname: str) -> None:
    assert guests.on_node(hostname, "uname", "-m").strip() == "aarch64"
    assert guests.on_node(hostname, "test", "-d", "/sys/firmware/efi") == ""
    links = json.loads(guests.on_node(hostname, "ip", "-j", "-4", "address"))
    seen = {
        "{local}/{prefixlen}".format(**entry) for link in links for entry in link["addr_info"] if link["ifname"] != "lo"
    }
    assert seen == ADDRESSES[hostname]


def test_the_deploy_ends_where_it_was_asked_to(guests: Iecpod) -> None:
    report = json.loads((guests.root / "guests.json").read_text())
    assert [phase["name"] for phase in report["phases"]][-1] == "reachable"


def test_each_guest_has_an_nvram_of_its_own(guests: Iecpod) -> None:
    names = {path.name for path in (guests.pod_dir / "nvram").iterdir()}
    assert names == {f"{hostname}.fd" for hostname in HOSTNAMES}


def test_the_same_command_without_ee_continues_to_a_cluster(pod: Iecpod) -> None:
    report = json.loads((pod.root / "report.json").read_text())
    outcomes = {phase["name"]: phase["outcome"] for phase in report["phases"]}
    assert {outcomes[name] for name in ("networks", "domains", "reachable")} == {"in place"}
    assert {outcomes[name] for name in ("control-plane", "workers", "ready", "verify")} == {"done"}
    nodes = {item["metadata"]["name"]: item["status"] for item in pod.get("nodes")["items"]}
    assert sorted(nodes) == sorted(HOSTNAMES)
    for hostname, status in nodes.items():
        assert status["nodeInfo"]["architecture"] == "arm64"
        addresses = {entry["type"]: entry["address"] for entry in status["addresses"]}
        assert f"{addresses['InternalIP']}/24" in ADDRESSES[hostname] and "172.16.10." in addresses["InternalIP"]
        assert {entry["type"]: entry["status"] for entry in status["conditions"]}["Ready"] == "True"
