"""The loop over phases: look, act, look again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.workflow import PhaseFailed, run_phases
from iecpod.errors import HostError, IecpodError, NodeErrors, NodeUnreachable, WaitTimeout
from iecpod.wait import NotYet, poll
from tests.fakes import FakeClock, fake_phase_tools


@dataclass
class Step:
    """A phase whose world is one flag; `helps` says whether running it sets the flag."""

    name: str
    in_place: bool = False
    helps: bool = True
    error: Exception | None = None
    runs: int = 0
    summary: str = field(default="a step")

    def probe(self) -> str | None:
        return "there" if self.in_place else None

    def run(self) -> None:
        self.runs += 1
        if self.error:
            raise self.error
        self.in_place = self.helps


def run(*steps: Step) -> list[tuple[str, str]]:
    results = run_phases(steps, fake_phase_tools())
    return [(result.name, result.outcome) for result in results]


def test_what_is_in_place_is_not_run() -> None:
    done, todo = Step("one", in_place=True), Step("two")
    assert run(done, todo) == [("one", "in place"), ("two", "done")]
    assert (done.runs, todo.runs) == (0, 1)
    assert run(done, todo) == [("one", "in place"), ("two", "in place")]


def test_a_failure_stops_the_run_and_keeps_the_results() -> None:
    last = Step("three")
    with pytest.raises(PhaseFailed) as caught:
        run(Step("one"), Step("two", error=HostError("no")), last)
    assert [(result.name, result.outcome) for result in caught.value.results] == [("one", "done"), ("two", "failed")]
    assert isinstance(caught.value.error, HostError)
    assert last.runs == 0


def test_a_phase_that_does_not_do_what_it_says_is_an_error() -> None:
    with pytest.raises(PhaseFailed) as caught:
        run(Step("idle", helps=False))
    assert "ran without an error, and what it makes is still not there" in str(caught.value)


def test_every_node_that_fails_is_heard() -> None:
    def work(hostname: str) -> str:
        if hostname == "iec01":
            return "fine"
        raise NodeUnreachable(hostname, "no route", "switch it on")

    with pytest.raises(NodeErrors) as caught:
        run_on_nodes(("iec01", "iec02", "iec03"), work)
    assert set(caught.value.failures) == {"iec02", "iec03"}
    assert caught.value.remedy == "switch it on"
    with pytest.raises(NodeUnreachable):
        run_on_nodes(("iec01", "iec02"), work)
    assert run_on_nodes((), work) == {}


def test_a_bug_on_one_node_is_not_swallowed() -> None:
    def work(_hostname: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_on_nodes(("iec01",), work)


def test_a_wait_ends_with_what_was_last_seen() -> None:
    clock = FakeClock()
    answers: Iterator[NotYet | str] = iter([NotYet("one"), NotYet("two"), "three"])

    def probe() -> str:
        answer = next(answers)
        if isinstance(answer, NotYet):
            raise answer
        return answer

    assert poll("an answer", probe, timeout_seconds=10, clock=clock) == "three"
    assert clock.now() == 2.0

    def never() -> None:
        raise NotYet("still booting")

    with pytest.raises(WaitTimeout) as caught:
        poll("SSH", never, timeout_seconds=5, clock=FakeClock(), remedy="look at the console")
    assert caught.value.cause == "SSH: not within 5 s; last seen: still booting"
    assert isinstance(caught.value, IecpodError)
