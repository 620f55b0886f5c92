"""Restored nodes whose leases say that they run, with the right time; and those that have to be asked themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from iecpod.deploy.kubectl.kubectl import NODES, Kubectl
from iecpod.deploy.kubectl.node_leases import LEASES, RenewedLeases
from iecpod.deploy.phases.known_by_leases import KnownByLeases
from iecpod.design.cluster import DesiredCluster
from iecpod.units import format_utc
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools

RESTORED_AT = 1_800_000_000.0
_GET = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get")


class _Asked:
    """A phase whose nodes are asked."""

    name = "reachable"
    summary = "nodes that answer"

    def __init__(self) -> None:
        self.probes = self.runs = 0

    def probe(self) -> str | None:
        self.probes += 1
        return "3 nodes answer"

    def run(self) -> None:
        self.runs += 1


def _lease(name: str, renew_time: object) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"renewTime": renew_time} if renew_time is not None else {}}


def _renewed(at: float) -> str:
    return format_utc(at).replace("Z", ".123456Z")


def _nodes(cluster: DesiredCluster, ready: str = "True") -> list[dict[str, Any]]:
    return [
        {
            "metadata": {"name": node.hostname},
            "status": {
                "addresses": [{"type": "InternalIP", "address": str(node.address)}],
                "conditions": [{"type": "Ready", "status": ready}],
            },
        }
        for node in cluster.nodes
    ]


def _leases(
    cluster: DesiredCluster,
    renew_times: Mapping[str, object],
    nodes: list[dict[str, Any]] | None = None,
    reporter: RecordingReporter | None = None,
) -> RenewedLeases:
    items = [_lease(name, at) for name, at in renew_times.items()]
    shell = FakeShell("iec01").on(*_GET, f"--raw={LEASES}", stdout=json.dumps({"items": items}))
    shell.on(*_GET, f"--raw={NODES}", stdout=json.dumps({"items": _nodes(cluster) if nodes is None else nodes}))
    tools = fake_phase_tools(reporter=reporter or RecordingReporter())
    return RenewedLeases(cluster, Kubectl(shell), tools.waits, lambda: RESTORED_AT)


def _all(cluster: DesiredCluster, at: object) -> dict[str, object]:
    return {node.hostname: at for node in cluster.nodes}


def test_nodes_with_renewed_leases_are_not_asked_themselves(cluster: DesiredCluster) -> None:
    asked = _Asked()
    phase = KnownByLeases(asked, _leases(cluster, _all(cluster, _renewed(RESTORED_AT))))
    assert phase.probe() == f"{len(cluster.nodes)} nodes Ready, with leases renewed since"
    assert (phase.name, asked.probes) == ("reachable", 0)


@pytest.mark.parametrize(
    "renew_time",
    [_renewed(RESTORED_AT - 3), _renewed(RESTORED_AT + 4), None, "", "soon", "2027-01-15T08:00:00+00:00"],
    ids=["before", "wrong clock", "none", "empty", "no time", "another form"],
)
def test_a_node_is_asked_where_its_lease_says_nothing(cluster: DesiredCluster, renew_time: object) -> None:
    asked, reporter = _Asked(), RecordingReporter()
    name = cluster.nodes[-1].hostname
    leases = _leases(cluster, {**_all(cluster, _renewed(RESTORED_AT)), name: renew_time}, reporter=reporter)
    assert KnownByLeases(asked, leases).probe() == "3 nodes answer"
    assert any(seen == f"{name} has not renewed its lease" for _node, _awaited, seen in reporter.waits)


@pytest.mark.parametrize("fault", ["missing", "not ready", "another address"])
def test_a_renewed_lease_makes_no_node_ready(cluster: DesiredCluster, fault: str) -> None:
    nodes = _nodes(cluster, "Unknown" if fault == "not ready" else "True")
    if fault == "missing":
        nodes.pop()
    elif fault == "another address":
        nodes[0]["status"]["addresses"] = []
    assert _leases(cluster, _all(cluster, _renewed(RESTORED_AT)), nodes).find() is None


def test_it_waits_once_for_all_phases(cluster: DesiredCluster) -> None:
    reporter = RecordingReporter()
    leases = _leases(cluster, {}, reporter=reporter)
    phases = [KnownByLeases(_Asked(), leases) for _ in range(3)]
    assert {phase.probe() for phase in phases} == {"3 nodes answer"}
    waits = len(reporter.waits)
    assert phases[0].probe() == "3 nodes answer" and len(reporter.waits) == waits


def test_what_is_not_in_place_is_run(cluster: DesiredCluster) -> None:
    asked = _Asked()
    KnownByLeases(asked, _leases(cluster, {})).run()
    assert asked.runs == 1
