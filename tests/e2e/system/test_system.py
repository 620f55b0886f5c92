"""A POD on `qemu:///system`: deployed, saved, removed and restored, with nothing of others touched."""

from __future__ import annotations

import json

from tests.e2e.command import Iecpod
from tests.e2e.system.conftest import BRIDGE, LAB, POD
from tests.e2e.system.system_libvirt import SystemLibvirt
from tests.e2e.verified_pod import remove_checkpoints

_NODES = ("iec01", "iec02")
_DOMAINS = {f"{LAB}-{POD}-{node}" for node in _NODES}


def _boots(pod: Iecpod) -> dict[str, str]:
    return {node: pod.on_node(node, "cat", "/proc/sys/kernel/random/boot_id") for node in _NODES}


def _public(pod: Iecpod, node: str) -> tuple[str, str]:
    """Device and address of its public network."""
    for line in pod.on_node(node, "ip", "-brief", "-4", "address").splitlines():
        device, _state, address, *_rest = line.split()
        if address.startswith("10.0.19."):
            return device.partition("@")[0], address.partition("/")[0]
    raise AssertionError(f"{node} has no address of its public network")


def test_machines_and_networks_are_those_of_the_host(pod: Iecpod, libvirt: SystemLibvirt) -> None:
    found = libvirt.objects()
    assert found["domains"] == _DOMAINS
    own = found["networks"] - {"foreign"}
    assert own and all(name.startswith(f"{LAB}-{POD}-") for name in own)
    status = json.loads(pod.check("status", "-o", "json"))
    assert [(node["domain"], node["ssh"]) for node in status["nodes"]] == [("running", "ok")] * len(_NODES)


def test_a_second_deploy_changes_nothing(pod: Iecpod) -> None:
    boots = _boots(pod)
    assert pod.run("plan", "--detailed-exitcode").returncode == 0
    pod.check("deploy", "--until", "reachable")
    assert {phase["outcome"] for phase in pod.report()["phases"]} == {"in place"}
    assert _boots(pod) == boots


def test_tags_pass_through_the_bridge_of_the_lab(pod: Iecpod, libvirt: SystemLibvirt) -> None:
    devices, addresses = zip(*(_public(pod, node) for node in _NODES), strict=True)
    assert all(device.endswith(".15") for device in devices), devices
    pod.on_node("iec01", "ping", "-c", "3", "-W", "10", addresses[1])
    ports = libvirt.run("ip", "-brief", "link", "show", "master", BRIDGE).splitlines()
    assert len(ports) == len(_NODES), "one NIC of each machine is on it"


def test_it_is_saved_and_restored(pod: Iecpod, libvirt: SystemLibvirt) -> None:
    boots = _boots(pod)
    pod.check("checkpoint save", "--name", "mine")
    try:
        pod.check("teardown")
        assert libvirt.objects() == {"domains": set(), "networks": {"foreign"}, "pools": set()}
        pod.check("checkpoint restore", "mine")
        assert libvirt.objects()["domains"] == _DOMAINS
        assert _boots(pod) == boots
        pod.on_node("iec01", "ping", "-c", "3", "-W", "10", _public(pod, "iec02")[1])
    finally:
        remove_checkpoints(pod, but=set())


def test_nothing_is_left_but_what_was_there(pod: Iecpod, libvirt: SystemLibvirt) -> None:
    pod.check("teardown")
    assert libvirt.objects() == {"domains": set(), "networks": {"foreign"}, "pools": set()}
    assert libvirt.links() == {"lo", BRIDGE}
    assert not pod.pod_dir.exists()
