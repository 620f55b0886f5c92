"""The headline POD, arm/virtual2: aarch64 guests up to SSH, then their cluster; emulated where need be.

It needs a POD of its own: its machines are of another architecture.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import HOSTNAMES, RELEASE, HostSnapshot, Iecpod

#: What the lab's own hypervisor would decide: where, from what, and how large on a small machine.
OPTIONS = (
    *("-c", "embedded", "--release", RELEASE, "-s", "k8-kube-router-iec-noha", "--virt-type", "qemu"),
    *("--vcpus", "2", "--memory", "2G", "--bundle-via", "image"),
)
ADDRESSES = {
    hostname: {f"192.168.11.{21 + index}/24", f"172.16.10.{36 + index}/24", f"10.0.19.{137 + index}/24"}
    for index, hostname in enumerate(HOSTNAMES)
}


@pytest.fixture(scope="module")
def arm(as_root: None, host_before: HostSnapshot) -> Iterator[Iecpod]:
    root = Path(tempfile.mkdtemp(prefix="iecpod-e2e-arm-"))
    command = Iecpod(root, "arm", "virtual2")
    command.check("deploy", *OPTIONS, "-ee")
    yield command
    command.run("teardown")
    shutil.rmtree(root)


def test_the_plan_says_what_differs_from_the_pdf(arm: Iecpod) -> None:
    plan = arm.check("plan")
    assert "aarch64  2 (PDF: 8)  2048 MiB (PDF: 6144 MiB)" in plan


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_guests_are_aarch64_on_their_planned_addresses(arm: Iecpod, hostname: str) -> None:
    assert arm.on_node(hostname, "uname", "-m").strip() == "aarch64"
    assert arm.on_node(hostname, "test", "-d", "/sys/firmware/efi") == ""
    links = json.loads(arm.on_node(hostname, "ip", "-j", "-4", "address"))
    seen = {
        "{local}/{prefixlen}".format(**entry) for link in links for entry in link["addr_info"] if link["ifname"] != "lo"
    }
    assert seen == ADDRESSES[hostname]


def test_the_deploy_ends_where_it_was_asked_to(arm: Iecpod) -> None:
    assert [phase["name"] for phase in arm.report()["phases"]][-1] == "reachable"


def test_the_same_command_without_ee_goes_on_to_a_cluster(arm: Iecpod) -> None:
    arm.check("deploy")
    outcomes = {phase["name"]: phase["outcome"] for phase in arm.report()["phases"]}
    assert {outcomes[name] for name in ("networks", "domains", "reachable")} == {"in place"}
    assert {outcomes[name] for name in ("control-plane", "workers", "ready", "verify")} == {"done"}
    nodes = {item["metadata"]["name"]: item["status"] for item in arm.get("nodes")["items"]}
    assert sorted(nodes) == sorted(HOSTNAMES)
    for hostname, status in nodes.items():
        assert status["nodeInfo"]["architecture"] == "arm64"
        addresses = {entry["type"]: entry["address"] for entry in status["addresses"]}
        assert f"{addresses['InternalIP']}/24" in ADDRESSES[hostname] and "172.16.10." in addresses["InternalIP"]
        assert {entry["type"]: entry["status"] for entry in status["conditions"]}["Ready"] == "True"


def test_teardown_leaves_no_nvram(arm: Iecpod, host_before: HostSnapshot) -> None:
    nvram = arm.pod_dir / "nvram"
    assert {path.name for path in nvram.iterdir()} == {f"{hostname}.fd" for hostname in HOSTNAMES}
    arm.check("teardown")
    assert not arm.pod_dir.exists() and HostSnapshot.take() == host_before
