"""Waits for objects: by what the API server reports where it is asked from this host, else once a second."""

from __future__ import annotations

import pytest

from iecpod.deploy.kubectl.api import Api
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.kubectl.object_waits import wait_for_objects
from iecpod.errors import WaitTimeout
from iecpod.wait import NotYet
from tests.fakes import FakeApiServer, FakeClock, FakeShell, fake_phase_tools
from tests.fakes.api_server import SILENT

PATH = "/api/v1/nodes"


class ClusterOfNodes:
    """Its nodes are listed from a time on; before that the server does not answer, once."""

    def __init__(self, there_at: float) -> None:
        self.there_at = there_at
        self.clock = FakeClock()
        self.server = FakeApiServer()
        self.server.next_answers = [SILENT]
        self.probed: list[float] = []

    def probe(self, kubectl: Kubectl) -> str:
        self.probed.append(round(self.clock.now(), 1))
        if kubectl.find(PATH) is None:
            raise NotYet("no nodes")
        return "listed"

    def sleep(self, seconds: float) -> None:
        FakeClock.sleep(self.clock, seconds)
        if self.clock.now() >= self.there_at:
            self.server.objects[PATH] = {"items": []}

    def wait(self, kubectl: Kubectl) -> str:
        self.clock.sleep = self.sleep  # type: ignore[method-assign]
        waits = fake_phase_tools(clock=self.clock).waits
        return wait_for_objects("nodes", self.probe, kubectl, [PATH], waits, seconds=60, console_of="", remedy="")


def requests_of(server: FakeApiServer) -> Kubectl:
    return Kubectl(FakeShell(), None, Api(server, "iec01", applies=True))


def test_a_reported_change_is_looked_at_at_once() -> None:
    cluster = ClusterOfNodes(there_at=17.3)
    assert cluster.wait(requests_of(cluster.server)) == "listed"
    assert cluster.probed == [0.0, 0.2, 5.2, 10.2, 15.2, 17.4]
    (watch,) = cluster.server.watches
    assert watch.paths == (PATH,) and watch.is_closed


def test_a_change_whose_report_is_lost_is_seen_later() -> None:
    cluster = ClusterOfNodes(there_at=7)
    cluster.server.reports = False
    assert cluster.wait(requests_of(cluster.server)) == "listed"
    assert cluster.probed == [0.0, 5.0, 10.0]


def test_without_requests_it_is_asked_each_second() -> None:
    cluster = ClusterOfNodes(there_at=2.5)
    cluster.server.ready = False
    shell = FakeShell().on("kubectl", stdout="{}")
    with pytest.raises(WaitTimeout):
        wait_for_objects(
            "nodes",
            _never,
            Kubectl(shell, None, Api(cluster.server, "iec01", applies=True)),
            [PATH],
            fake_phase_tools(clock=cluster.clock).waits,
            seconds=3,
            console_of="",
            remedy="",
        )
    assert not cluster.server.watches and len(shell.calls) == 4


def test_a_wait_that_fails_ends_its_watch() -> None:
    cluster = ClusterOfNodes(there_at=1e9)
    with pytest.raises(WaitTimeout):
        cluster.wait(requests_of(cluster.server))
    assert cluster.server.watches[0].is_closed


def _never(kubectl: Kubectl) -> None:
    kubectl.load(PATH)
    raise NotYet("no nodes")
