"""Readiness where the pod network is made of pods: a node that is Ready has none until its pod runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from iecpod.cni.registry import CNIS
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.kubectl.network_health import find_missing_routes, find_pod_faults
from iecpod.deploy.phases.ready import ReadyPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import ExitCode, WaitTimeout
from iecpod.ports import CommandResult
from tests.fakes import FakeShell, fake_phase_tools

IMAGE = "docker.io/calico/cni:v3.24.5"
_GET = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get")
_NODES = (*_GET, "--raw=/api/v1/nodes")
_SYSTEM_PODS = (*_GET, "--raw=/api/v1/namespaces/kube-system/pods")
_NETWORK_PODS = (*_GET, "--raw=/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcalico-node")


@pytest.fixture
def calico(cluster: DesiredCluster) -> DesiredCluster:
    return dataclasses.replace(cluster, cni=CNIS["calico"])


def _node(name: str, address: str, ready: bool = True) -> dict[str, Any]:
    condition = {"type": "Ready", "status": str(ready), "message": "cni plugin not initialized"}
    addresses = [{"type": "InternalIP", "address": address}]
    status = {"addresses": addresses, "conditions": [condition], "nodeInfo": {"bootID": "boot"}}
    return {"metadata": {"name": name}, "spec": {}, "status": status}


def _nodes(cluster: DesiredCluster, not_ready: Sequence[str] = ()) -> str:
    nodes = (_node(node.hostname, str(node.address), node.hostname not in not_ready) for node in cluster.nodes)
    return _listing(nodes)


def _listing(items: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps({"items": list(items)})


def _running(node: str, name: str = "calico-node-runs") -> dict[str, Any]:
    container = {"image": IMAGE, "ready": True, "state": {"running": {}}}
    status = {"phase": "Running", "containerStatuses": [container]}
    return {"metadata": {"name": name}, "spec": {"nodeName": node}, "status": status}


def _pulling(node: str, reason: str = "ErrImagePull") -> dict[str, Any]:
    init = {"image": IMAGE, "ready": False, "state": {"waiting": {"reason": reason}}}
    rest = {"image": "calico/node", "ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}
    status = {"phase": "Pending", "initContainerStatuses": [init], "containerStatuses": [rest]}
    return {"metadata": {"name": f"calico-node-{node}"}, "spec": {"nodeName": node}, "status": status}


def _first(nodes: str) -> FakeShell:
    return (
        FakeShell("iec01").on("cat", stdout="boot\n").on(*_NODES, stdout=nodes).on(*_SYSTEM_PODS, stdout=_listing(()))
    )


def _ready(cluster: DesiredCluster, first: FakeShell) -> ReadyPhase:
    others = {node.hostname: FakeShell(node.hostname).on("cat", stdout="boot\n") for node in cluster.workers}
    return ReadyPhase(cluster, {"iec01": first, **others}, fake_phase_tools())


def test_nodes_whose_network_pods_run_are_ready(calico: DesiredCluster) -> None:
    first = _first(_nodes(calico)).on(*_NETWORK_PODS, stdout=_listing(_running(n.hostname) for n in calico.nodes))
    phase = _ready(calico, first)
    assert phase.probe() == "3 nodes Ready"
    phase.run()


def test_a_bridge_has_neither_pods_to_ask_for_nor_routes_to_learn(cluster: DesiredCluster) -> None:
    assert find_pod_faults(Kubectl(FakeShell()), cluster) == {}
    assert find_missing_routes(cluster, {}) == {}
    assert _ready(cluster, _first(_nodes(cluster))).probe() == "3 nodes Ready"


def test_an_image_that_cannot_be_pulled_ends_the_wait_in_time_and_is_named(calico: DesiredCluster) -> None:
    """The kubelet's two words for it alternate, which is no movement that would lengthen the wait."""
    words = itertools.chain(itertools.repeat("ErrImagePull", 170), itertools.repeat("ImagePullBackOff"))
    pods = (_listing([_running("iec01"), _pulling("iec02"), _pulling("iec03", word)]) for word in words)
    first = _first(_nodes(calico, not_ready=["iec03"]))
    first.reply(_NETWORK_PODS, lambda _argv, _stdin: CommandResult(0, next(pods), ""))
    phase = _ready(calico, first)
    assert phase.probe() is None
    with pytest.raises(WaitTimeout) as caught:
        phase.run()
    assert caught.value.exit_code is ExitCode.TIMEOUT
    assert caught.value.cause == (
        "all nodes Ready: not within 180 s; last seen: "
        f"iec03 is NotReady: cni plugin not initialized (calico-node-iec03: ErrImagePull {IMAGE}); "
        f"iec02 has no pod network: calico-node-iec02: ErrImagePull {IMAGE}"
    )
    failures = {result.node: result.failure for result in phase.tools.node_times.results}
    assert failures["iec01"] is None
    assert failures["iec02"] is not None and IMAGE in failures["iec02"].cause


def test_a_pod_that_ends_beside_one_that_runs_is_no_fault(calico: DesiredCluster) -> None:
    pods = [_pulling("iec02"), *(_running(node.hostname) for node in calico.nodes), _pulling("iec03")]
    assert _ready(calico, _first(_nodes(calico)).on(*_NETWORK_PODS, stdout=_listing(pods))).probe() == "3 nodes Ready"


def test_a_node_without_such_a_pod_has_no_network(calico: DesiredCluster) -> None:
    unscheduled = {**_pulling("iec03"), "spec": {}}
    pods = _listing([_running("iec01"), _running("iec02"), unscheduled])
    with pytest.raises(WaitTimeout) as caught:
        _ready(calico, _first(_nodes(calico)).on(*_NETWORK_PODS, stdout=pods)).run()
    assert caught.value.last_seen == "iec03 has no pod network: no pod of calico is there"


def test_pods_that_cannot_be_listed_are_waited_for(calico: DesiredCluster) -> None:
    first = _first(_nodes(calico)).on(*_NETWORK_PODS, stderr="connection refused", returncode=1)
    first.on(*_NETWORK_PODS, stderr="connection refused", returncode=1)
    first.on(*_NETWORK_PODS, stdout=_listing(_running(node.hostname) for node in calico.nodes))
    phase = _ready(calico, first)
    assert phase.probe() is None
    phase.run()
    assert phase.probe() == "3 nodes Ready"
