"""Faults with guests that run; each test leaves the POD whole."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.command import HOSTNAMES, LAB, POD, Iecpod, deploy_in_phase

#: Runs on a node, as a unit of its own, since it outlives the connection that starts it.
_CUT_SSH = (
    "sleep 2; iptables -w -I INPUT -p tcp --dport 22 -j DROP; sleep 30; iptables -w -D INPUT -p tcp --dport 22 -j DROP"
)


def _boots(pod: Iecpod) -> dict[str, str]:
    return {name: pod.on_node(name, "cat", "/proc/sys/kernel/random/boot_id").strip() for name in HOSTNAMES}


def _outcomes(pod: Iecpod) -> dict[str, str]:
    return {phase["name"]: phase["outcome"] for phase in pod.report()["phases"]}


def _check_ready(pod: Iecpod) -> None:
    status = json.loads(pod.check("status", "--output", "json"))
    assert status["state"] == "ready"
    assert [(node["node"], node["domain"], node["ssh"], node["kubernetes"]) for node in status["nodes"]] == [
        (hostname, "running", "ok", "Ready") for hostname in HOSTNAMES
    ]


def test_guests_outlive_libvirtd(pod: Iecpod) -> None:
    boots = _boots(pod)
    pod.kill_libvirtd()
    _check_ready(pod)
    pod.kill_libvirtd()
    pod.check("deploy")
    assert set(_outcomes(pod).values()) == {"in place"}
    assert _boots(pod) == boots


def _cut_ssh(pod: Iecpod, hostname: str) -> float:
    """For 30 seconds, from 2 seconds after now; returns when that is over."""
    pod.on_node(hostname, "sudo", "systemd-run", "--quiet", "--collect", "--unit=iecpod-test-cut", "sh", "-c", _CUT_SSH)
    return time.monotonic() + 32


def test_ssh_that_is_cut_for_half_a_minute_is_waited_for(pod: Iecpod) -> None:
    boots = _boots(pod)
    over = _cut_ssh(pod, "iec02")
    time.sleep(3)
    done = pod.run("deploy", timeout=600)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() > over, "the deploy ended while the connection was cut"
    assert _outcomes(pod).pop("reachable") == "done"
    assert _boots(pod) == boots


def test_ssh_that_is_cut_while_a_deploy_looks(pod: Iecpod, tmp_path: Path) -> None:
    """The connection stands already: what is sent meanwhile arrives later."""
    log = tmp_path / "log"
    with deploy_in_phase(pod, "reachable", log) as process:
        _cut_ssh(pod, "iec01")
        assert process.wait(timeout=600) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    time.sleep(35)
    _check_ready(pod)


@pytest.mark.parametrize("hostname", ["iec03", "iec01"])
def test_a_guest_that_was_powered_off_is_started_and_is_a_node_again(pod: Iecpod, hostname: str) -> None:
    """The control plane's node too: the cluster is the same one afterwards, and not a new one."""
    boots = _boots(pod)
    cluster = pod.get("namespace/kube-system")["metadata"]["uid"]
    domain = f"{LAB}-{POD}-{hostname}"
    subprocess.run(["virsh", "-c", pod.host.uri, "destroy", domain], check=True, capture_output=True)
    assert json.loads(pod.check("status", "--output", "json"))["state"] == "partial"
    plan = pod.run("plan", "--detailed-exitcode")
    assert plan.returncode == 6 and domain in plan.stdout and "is not running" in plan.stdout

    pod.check("deploy")
    outcomes = _outcomes(pod)
    assert (outcomes["networks"], outcomes["domains"], outcomes["reachable"]) == ("in place", "done", "done")
    assert (outcomes["workers"], outcomes["verify"]) == ("in place", "in place")
    assert pod.get("namespace/kube-system")["metadata"]["uid"] == cluster
    boots_after = _boots(pod)
    assert {name for name in HOSTNAMES if boots_after[name] != boots[name]} == {hostname}
    _check_ready(pod)


def test_a_guest_that_was_paused_is_resumed(pod: Iecpod) -> None:
    """As QEMU pauses one when the disk of the host is full."""
    boots = _boots(pod)
    virsh = ["virsh", "-c", pod.host.uri]
    subprocess.run([*virsh, "suspend", f"{LAB}-{POD}-iec02"], check=True, capture_output=True)
    pod.check("deploy")
    assert _outcomes(pod)["domains"] == "done"
    state = subprocess.check_output([*virsh, "domstate", f"{LAB}-{POD}-iec02"], text=True)
    assert state.strip() == "running" and _boots(pod) == boots
    _check_ready(pod)
