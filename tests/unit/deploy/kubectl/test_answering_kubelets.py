"""Restored nodes whose kubelets answer, with the right time; and those that have to be asked themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from iecpod.deploy.kubectl.answering_kubelets import AnsweringKubelets
from iecpod.deploy.kubectl.api import Api
from iecpod.deploy.kubectl.kubectl import NODES, Kubectl
from iecpod.deploy.phases.known_by_kubelets import KnownByKubelets
from iecpod.design.cluster import DesiredCluster
from iecpod.ports import ApiAnswer
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools
from tests.fakes.api_server import BUSY, FORBIDDEN, SILENT, FakeApiServer

RESTORED_AT = 1_800_000_000.0


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


def _kubelets(
    cluster: DesiredCluster,
    clocks: Mapping[str, float],
    nodes: list[dict[str, Any]] | None = None,
    reporter: RecordingReporter | None = None,
    answers: Sequence[ApiAnswer | Exception] = (),
) -> AnsweringKubelets:
    server = FakeApiServer({NODES: {"items": _nodes(cluster) if nodes is None else nodes}})
    server.clocks, server.next_answers = dict(clocks), list(answers)
    kubectl = Kubectl(FakeShell("iec01"), api=Api(server, "iec01", applies=True))
    tools = fake_phase_tools(reporter=reporter or RecordingReporter())
    return AnsweringKubelets(cluster, kubectl, tools.waits, lambda: RESTORED_AT)


def _all(cluster: DesiredCluster, at: float) -> dict[str, float]:
    return {node.hostname: at for node in cluster.nodes}


def test_nodes_whose_kubelets_answer_are_not_asked_themselves(cluster: DesiredCluster) -> None:
    asked = _Asked()
    phase = KnownByKubelets(asked, _kubelets(cluster, _all(cluster, RESTORED_AT), answers=[SILENT, BUSY, FORBIDDEN]))
    assert phase.probe() == f"{len(cluster.nodes)} nodes Ready, their kubelets within 2 s of the host's time"
    assert (phase.name, asked.probes) == ("reachable", 0)


@pytest.mark.parametrize("seconds_off", [-3, 4, -86_400 * 40, None])
def test_a_node_is_asked_where_its_kubelet_is_silent_or_has_another_time(
    cluster: DesiredCluster, seconds_off: float | None
) -> None:
    asked, reporter = _Asked(), RecordingReporter()
    clocks = _all(cluster, RESTORED_AT)
    name = cluster.nodes[-1].hostname
    if seconds_off is None:
        del clocks[name]
    else:
        clocks[name] += seconds_off
    assert KnownByKubelets(asked, _kubelets(cluster, clocks, reporter=reporter)).probe() == "3 nodes answer"
    said = f"the kubelet of {name} does not answer with the host's time" if seconds_off is not None else "503"
    assert any(said in seen for _node, _awaited, seen in reporter.waits)


def test_a_date_leaves_the_fraction_of_its_second_out(cluster: DesiredCluster) -> None:
    """Written at any time of that second, so this one may be less than two seconds off."""
    kubelets = _kubelets(cluster, _all(cluster, RESTORED_AT - 2))
    kubelets.unix_time = lambda: RESTORED_AT + 0.9
    assert kubelets.find() is not None


def test_an_answer_without_a_date_says_nothing(cluster: DesiredCluster) -> None:
    nodes = ApiAnswer(200, json.dumps({"items": _nodes(cluster)}).encode())
    answers = [nodes, ApiAnswer(200, b"ok")] * 1000
    assert _kubelets(cluster, _all(cluster, RESTORED_AT), answers=answers).find() is None


def test_kubectl_of_a_node_is_not_asked_for_it(cluster: DesiredCluster) -> None:
    shell = FakeShell("iec01").on("kubectl", stdout=json.dumps({"items": _nodes(cluster)}))
    kubelets = AnsweringKubelets(cluster, Kubectl(shell), fake_phase_tools().waits, lambda: RESTORED_AT)
    assert kubelets.find() is None and not any("healthz" in call[-1] for call in shell.calls)


@pytest.mark.parametrize("fault", ["missing", "not ready", "another address"])
def test_an_answer_makes_no_node_ready(cluster: DesiredCluster, fault: str) -> None:
    nodes = _nodes(cluster, "Unknown" if fault == "not ready" else "True")
    if fault == "missing":
        nodes.pop()
    elif fault == "another address":
        nodes[0]["status"]["addresses"] = []
    assert _kubelets(cluster, _all(cluster, RESTORED_AT), nodes).find() is None


def test_it_waits_once_for_all_phases(cluster: DesiredCluster) -> None:
    reporter = RecordingReporter()
    kubelets = _kubelets(cluster, {}, reporter=reporter)
    phases = [KnownByKubelets(_Asked(), kubelets) for _ in range(3)]
    assert {phase.probe() for phase in phases} == {"3 nodes answer"}
    waits = len(reporter.waits)
    assert phases[0].probe() == "3 nodes answer" and len(reporter.waits) == waits


def test_what_is_not_in_place_is_run(cluster: DesiredCluster) -> None:
    asked = _Asked()
    KnownByKubelets(asked, _kubelets(cluster, {})).run()
    assert asked.runs == 1
