"""Waits: what they see, how long they last, and what a timeout says."""

from __future__ import annotations

import pytest

from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.deadline_factor import GuestSpeed
from iecpod.errors import (
    GuestStopped,
    WaitTimeout,
)
from iecpod.wait import NotYet
from tests.fakes import FakeClock, RecordingReporter, fake_phase_tools

CONSOLE = "".join(f"\x1b[1;31mline {number}\x1b[0m\r\n" for number in range(40))
GO_ON = "resume with `iecpod deploy -l local -p virtual1`"


def never() -> None:
    raise NotYet("still booting")


def expire(tools: PhaseTools, seconds: float = 10, **options: str) -> WaitTimeout:
    with pytest.raises(WaitTimeout) as caught:
        tools.waits.wait_for("SSH", never, seconds=seconds, **options)  # type: ignore[arg-type]
    return caught.value


def test_a_wait_that_expires_says_what_was_awaited_and_seen_and_what_to_run() -> None:
    error = expire(fake_phase_tools(console=CONSOLE), node="iec02", remedy="switch it on")
    assert error.cause == "iec02: SSH: not within 10 s; last seen: still booting"
    assert error.evidence.splitlines() == [
        "console of iec02, its last lines:",
        *(f"    line {number}" for number in range(25, 40)),
    ]
    assert error.remedy == (
        f"switch it on; look at the guest with `iecpod console -l local -p virtual1 iec02`; {GO_ON}"
    )
    assert int(error.exit_code) == 5


def test_a_wait_for_the_cluster_shows_a_console_too() -> None:
    error = expire(fake_phase_tools(console=CONSOLE), console_of="iec01")
    assert error.cause.startswith("SSH: not within") and error.evidence.startswith("console of iec01")


def test_what_waits_see_is_reported_as_it_is_seen() -> None:
    reporter = RecordingReporter()
    expire(fake_phase_tools(reporter=reporter), seconds=2, node="iec01")
    assert reporter.waits == [("iec01", "SSH", "still booting")] * 3


def test_a_wait_ends_when_any_virtual_machine_of_the_pod_does() -> None:
    reporter = RecordingReporter()
    tools = fake_phase_tools(
        console=CONSOLE, reporter=reporter, find_stopped=lambda: ("iec02",) if reporter.waits else ()
    )
    with pytest.raises(GuestStopped) as caught:
        tools.waits.wait_for("the join", never, seconds=1000, node="iec03")
    assert len(reporter.waits) == 1
    error = caught.value
    assert error.cause == "iec02: its virtual machine does not run any more: it was switched off, or it ended"
    assert error.evidence.startswith("console of iec02") and error.remedy.endswith(GO_ON)
    assert int(error.exit_code) == 1


def test_a_console_that_moves_gets_a_wait_more_time() -> None:
    clock = FakeClock()
    moving = fake_phase_tools(clock=clock, console=lambda _node: f"line {clock.now()}")
    assert "not within 200 s" in expire(moving, seconds=100, node="iec01").cause
    assert "not within 100 s" in expire(fake_phase_tools(console="dead"), seconds=100, node="iec01").cause


def test_time_that_a_person_gave_a_phase_is_for_all_of_its_waits_and_holds_as_given() -> None:
    clock = FakeClock()
    tools = fake_phase_tools(
        GuestSpeed(8.0, low_overhead=True),
        clock=clock,
        limits={"reachable": 50},
        console=lambda _node: f"line {clock.now()}",
    )
    tools.begin("reachable")
    assert "not within 50 s" in expire(tools, seconds=100, node="iec01").cause
    assert "not within 1 s" in expire(tools, seconds=100, node="iec01").cause
    tools.begin("workers")
    assert tools.deadlines.seconds(100) == 800 and tools.deadlines.most_seconds(100) == 1600
