"""A cluster on machines that are there: refused for good reasons, made, grown, shrunk, torn down, and as before."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.existing.machines import (
    CONTROL_PLANE,
    MACHINES,
    NODES,
    PASSWORD,
    SCENARIO,
    THIRD,
    WORKER,
    WRONG_PASSWORD,
    Machines,
    Stage,
)

#: As root, on a guest: from now on, who logs in by SSH is as in a container, where swap is the host's.
NO_SWAPOFF = """
mkdir -p /etc/systemd/system/ssh.service.d
printf '[Service]\\nCapabilityBoundingSet=~CAP_SYS_ADMIN\\n' > /etc/systemd/system/ssh.service.d/capabilities.conf
systemctl daemon-reload
systemctl restart ssh
"""
SWAPOFF_AGAIN = """
rm /etc/systemd/system/ssh.service.d/capabilities.conf
systemctl daemon-reload
systemctl restart ssh
"""
#: An old cluster, as far as files show it.
OLD_CLUSTER = "mkdir /etc/kubernetes; touch /etc/kubernetes/kubelet.conf"
NO_OLD_CLUSTER = "rm -r /etc/kubernetes"


def test_host_keys_that_are_not_known_are_refused(without_pod: Machines) -> None:
    refused = without_pod.bootstrap("--release", RELEASE, "-s", SCENARIO)
    assert refused.returncode == 4, refused.stderr
    for hostname, address in NODES.items():
        assert f"{address} offers the host key {without_pod.fingerprint(hostname)}" in refused.stderr
    assert "which is not in known_hosts" in refused.stderr and PASSWORD not in refused.stderr
    assert not without_pod.iecpod.pod_dir.exists()


def test_another_host_key_is_refused(without_pod: Machines) -> None:
    foreign = "SHA256:" + "A" * 43
    refused = without_pod.bootstrap("--release", RELEASE, "--host-key", foreign)
    assert refused.returncode == 4 and f"--host-key expects {foreign}" in refused.stderr


def test_a_wrong_password_is_refused(without_pod: Machines) -> None:
    options = ("--release", RELEASE, "-s", SCENARIO, *without_pod.host_keys)
    refused = without_pod.bootstrap(*options, password=without_pod.wrong_password_file)
    assert refused.returncode == 4, refused.stderr
    assert "refuses the password that was given" in refused.stderr and WRONG_PASSWORD not in refused.stderr


def test_what_is_wrong_with_any_machine_is_found_at_once(without_pod: Machines) -> None:
    """Sudo of one asks for a password, the other has been in a cluster."""
    without_pod.as_root("iec01", "mv /etc/sudoers.d/iec /root/")
    without_pod.as_root("iec02", OLD_CLUSTER)
    try:
        refused = without_pod.bootstrap("--release", RELEASE, "-s", SCENARIO, *without_pod.host_keys)
    finally:
        without_pod.as_root("iec01", "mv /root/iec /etc/sudoers.d/")
        without_pod.as_root("iec02", NO_OLD_CLUSTER)
    assert refused.returncode == 4, refused.stderr
    assert f"{CONTROL_PLANE}: `sudo -n true` is refused to user iec: sudo: a password is required" in refused.stderr
    assert "NOPASSWD" in refused.stderr
    assert "node iec02: error: it belongs to a cluster already, or did: /etc/kubernetes/kubelet.conf" in refused.stderr
    assert not without_pod.iecpod.pod_dir.exists()


def test_swap_that_stays_on_is_one_error(without_pod: Machines) -> None:
    without_pod.as_root("iec02", NO_SWAPOFF)
    try:
        options = ("--release", RELEASE, "-s", SCENARIO, *without_pod.host_keys)
        refused = without_pod.bootstrap(*options)
        torn_down = without_pod.teardown()
    finally:
        without_pod.as_root("iec02", SWAPOFF_AGAIN)
    assert refused.returncode == 1, refused.stderr
    said = "iec02: swap cannot be switched off: `swapoff --all` says: swapoff: Not superuser."
    assert refused.stderr.count(said) == 1, refused.stderr
    assert torn_down.returncode == 0, torn_down.stderr
    without_pod.check_no_pod()


def test_a_killed_bootstrap_resumes_to_a_cluster(bootstrapped: Machines) -> None:
    done = bootstrapped.steps[Stage.BOOTSTRAPPED]
    assert "POD nodes/edge" in done.stdout and PASSWORD not in done.stdout + done.stderr
    outcomes = {phase["name"]: phase["outcome"] for phase in bootstrapped.iecpod.report()["phases"]}
    assert (outcomes["reachable"], outcomes["runtime"], outcomes["verify"]) == ("in place", "done", "done")


def test_it_is_a_pod_as_any_other(bootstrapped: Machines) -> None:
    iecpod = bootstrapped.iecpod
    status = json.loads(iecpod.check("status", "-o", "json"))
    assert status["state"] == "ready" and [node["node"] for node in status["nodes"]] == list(NODES)
    assert "DOMAIN" not in iecpod.check("status")
    assert bootstrapped.addresses() == NODES
    assert iecpod.on_node("iec02", "id", "--user", "--name").strip() == "iec"
    assert f"server: https://{CONTROL_PLANE}:6443" in iecpod.check("kubeconfig")
    assert bootstrapped.as_root("iec01", "cat /proc/swaps").count("\n") == 1


def test_it_is_refused_to_another_installation(bootstrapped: Machines, tmp_path: Path) -> None:
    own = bootstrapped.iecpod
    iecpod = Iecpod(tmp_path, "nodes", "other", settings=own.settings, prefix=own.prefix)
    other = Machines(bootstrapped.lab, iecpod, bootstrapped.password_file, bootstrapped.wrong_password_file)
    refused = other.bootstrap("--release", RELEASE, "-s", SCENARIO, *bootstrapped.host_keys)
    assert refused.returncode == 4 and "it is node iec01 of POD nodes/edge" in refused.stderr


def test_a_join_that_is_refused_leaves_the_pod_as_it_was(bootstrapped: Machines) -> None:
    described = bootstrapped.iecpod.root / "state/described"
    before = {path: path.read_bytes() for path in described.rglob("*.yaml")}
    bootstrapped.as_root("iec03", OLD_CLUSTER)
    try:
        refused = bootstrapped.bootstrap(*bootstrapped.host_keys, addresses=tuple(MACHINES.values()))
    finally:
        bootstrapped.as_root("iec03", NO_OLD_CLUSTER)
    assert refused.returncode == 4, refused.stderr
    assert "node iec03: error: it belongs to a cluster already" in refused.stderr
    assert len(before) == 2 and {path: path.read_bytes() for path in described.rglob("*.yaml")} == before
    assert THIRD not in (bootstrapped.iecpod.pod_dir / "machines.json").read_text()


def test_a_third_machine_joins(third_joined: Machines) -> None:
    assert third_joined.addresses() == MACHINES
    started = third_joined.kubelets
    assert {name: started[Stage.THIRD_JOINED][name] for name in NODES} == started[Stage.BOOTSTRAPPED]
    assert json.loads(third_joined.iecpod.check("status", "-o", "json"))["state"] == "ready"


def test_a_machine_leaves(second_left: Machines) -> None:
    refused = second_left.refusal_to_leave
    assert refused is not None and refused.returncode == 2
    assert f"{WORKER} of POD nodes/edge is not given" in refused.stderr
    assert second_left.addresses() == {"iec01": CONTROL_PLANE, "iec03": THIRD}
    second_left.check_as_before("iec02")
    assert second_left.iecpod.run("plan", "--detailed-exitcode").returncode == 0


def test_a_teardown_lists_what_is_left_and_then_puts_everything_back(deployed: Machines) -> None:
    deployed.as_root("iec01", "mv /swapfile /root/")
    try:
        left = deployed.teardown()
    finally:
        deployed.as_root("iec01", "mv /root/swapfile /")
    assert left.returncode == 7, left.stderr
    assert "iec01: swap /swapfile, which is off" in left.stderr
    assert deployed.iecpod.pod_dir.exists()
    deployed.tear_down(left=("iec01",))
