"""Calico's upstream manifest on the living cluster, by the phases that a deploy runs: patched, applied, read back, and
missing its images within the deadline.

None of it ever runs, since the POD reaches no registry: kube-router stays its network. The last test takes everything
away again, and the fixture does where another one failed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from iecpod.deploy.kubectl.pod_status import is_running, pod_state
from iecpod.deploy.phases.pod_network import PodNetworkPhase
from iecpod.deploy.phases.ready import ReadyPhase
from iecpod.deploy.workflow import PhaseFailed, run_phases
from iecpod.errors import CommandFailed, ExitCode, WaitTimeout
from iecpod.outside_json import Json
from iecpod.wait import NotYet, SystemClock, poll
from tests.e2e.command import HOSTNAMES, Iecpod
from tests.e2e.local.calico_on_pod import CNI_STATE, UPSTREAM, Calico, calico_on

#: The time of the whole phase: some looks of an emulated guest.
READY_SECONDS = 12.0
#: What goes before and after the wait itself, in guests that are busy: far less than the 24 minutes that it may take
#: them without a limit.
_LOOKS_SECONDS = 100.0
#: A name lookup that is not answered is tried for a while.
_PULL_SECONDS = 600.0


@pytest.fixture(scope="module")
def calico(pod: Iecpod) -> Iterator[Calico]:
    if not UPSTREAM.exists():
        pytest.skip("Calico's manifests are not on this machine")
    made = calico_on(pod, READY_SECONDS)
    made.remember()
    try:
        yield made
    finally:
        if not made.removed:
            made.remove()
        made.close()


def test_the_patched_manifest_is_taken_whole_and_its_changes_are_reported(calico: Calico) -> None:
    phase = PodNetworkPhase(calico.cluster, calico.shells, lambda: calico.manifest, calico.tools)
    (result,) = run_phases([phase], calico.tools)
    assert (result.outcome, result.detail) == ("done", "calico-node applied")
    assert not any("PodDisruptionBudget" in line for line in calico.reporter.lines), "this cluster has policy/v1"
    daemon_set, config, budget = calico.ask(
        "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node",
        "/api/v1/namespaces/kube-system/configmaps/calico-config",
        "/apis/policy/v1/namespaces/kube-system/poddisruptionbudgets/calico-kube-controllers",
    )
    (container,) = daemon_set["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["CALICO_IPV4POOL_CIDR"] == str(calico.cluster.pod_cidr) == "100.100.0.0/16"
    assert environment["IP_AUTODETECTION_METHOD"] == "cidr=172.16.10.0/24"
    assert (environment["CALICO_IPV4POOL_VXLAN"], environment["CALICO_IPV4POOL_IPIP"]) == ("Always", "Never")
    assert (config["data"]["veth_mtu"], config["data"]["calico_backend"]) == ("1450", "vxlan")
    assert budget["spec"]["maxUnavailable"] == 1


def _wait_for_failed_pulls(calico: Calico) -> None:
    """On each node; the time of the deploy's wait begins afterwards, so it can be short."""

    def probe() -> None:
        try:
            states = [pod_state(Json(pod)) for pod in calico.pods()]
        except CommandFailed as error:
            raise NotYet(error.cause) from error
        if sum("ErrImagePull" in state or "ImagePullBackOff" in state for state in states) < len(HOSTNAMES) + 1:
            raise NotYet("; ".join(states))

    poll("images that cannot be pulled", probe, timeout_seconds=_PULL_SECONDS, clock=SystemClock())


def test_the_wait_ends_in_time_and_names_pods_and_images(calico: Calico) -> None:
    _wait_for_failed_pulls(calico)
    start = time.monotonic()
    with pytest.raises(PhaseFailed) as caught:
        run_phases([ReadyPhase(calico.cluster, calico.shells, calico.tools)], calico.tools)
    seconds = time.monotonic() - start
    error = caught.value.error
    assert isinstance(error, WaitTimeout) and error.exit_code is ExitCode.TIMEOUT
    assert READY_SECONDS - 1 <= seconds < READY_SECONDS + _LOOKS_SECONDS
    for hostname in HOSTNAMES:
        pulled = r"calico-node-\w{5}: ErrImagePull docker\.io/calico/cni:v3\.24\.\d"
        assert re.search(rf"{hostname} has no pod network: {pulled}(;|$)", error.cause), error.cause
    controllers = r"calico-kube-controllers-[\w-]+: \w+ docker\.io/calico/kube-controllers:v3\.24\.\d"
    assert re.search(rf"^    {controllers}$", error.evidence, re.MULTILINE), error.evidence
    (result,) = caught.value.results
    assert {node.node for node in result.nodes if node.failure is not None} == set(HOSTNAMES)


def test_nothing_of_it_has_run(calico: Calico) -> None:
    for pod in calico.pods():
        status = pod["status"]
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            assert set(container["state"]) == {"waiting"} and container["lastState"] == {}, container
    for hostname, state in calico.on_nodes(CNI_STATE).items():
        assert "10-iecpod.conflist" in state and calico.nodes_before[hostname].startswith(state)


def test_the_pod_is_as_it_was_and_makes_pods(pod: Iecpod, calico: Calico) -> None:
    calico.remove()
    status = json.loads(pod.check("status", "--output", "json"))
    assert (status["state"], status["cluster"]["cni"], status["cluster"]["verified"]) == ("ready", "kube-router", True)
    node, pods, name = calico.cluster.workers[0], "/api/v1/namespaces/default/pods", "iecpod-test-pause"
    container = {"name": "pause", "image": calico.cluster.release.pause_image}
    spec = {"nodeName": node.hostname, "containers": [container]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def probe() -> str:
        (made,) = calico.ask(f"{pods}/{name}")
        if not is_running(Json(made)):
            raise NotYet(pod_state(Json(made)))
        return str(made["status"]["podIP"])

    try:
        calico.ask(pods, method="POST", data=json.dumps(manifest))
        address = poll("a pod of kube-router's network", probe, timeout_seconds=60.0, clock=SystemClock())
        assert ip_address(address) in node.pod_cidr
    finally:
        calico.ask(f"{pods}/{name}?gracePeriodSeconds=0", method="DELETE")
