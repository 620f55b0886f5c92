"""Deadlines of slow guests."""

from __future__ import annotations

from iecpod.deploy.waiting.deadlines import Deadlines
from iecpod.design.deadline_factor import GuestSpeed
from tests.fakes import FakeClock


def deadlines(clock: FakeClock, **limits: float) -> Deadlines:
    return Deadlines(GuestSpeed(8.0, low_overhead=True), clock, limits)


def test_deadlines_are_scaled_by_the_slowest_guest_measured() -> None:
    found = deadlines(FakeClock())
    assert found.seconds(100) == 800
    assert not found.extend_for_boot(150)
    assert found.seconds(100) == 800
    assert found.extend_for_boot(400)
    assert not found.extend_for_boot(300)
    assert (found.seconds(100), found.most_seconds(100), found.factor) == (1600, 3200, 16.0)


def test_a_limit_counts_from_the_beginning_of_its_phase_and_holds_as_given() -> None:
    clock = FakeClock()
    found = deadlines(clock, reachable=50)
    clock.sleep(10)
    found.begin("reachable")
    clock.sleep(20)
    assert (found.seconds(100), found.most_seconds(100)) == (30, 30)
    clock.sleep(100)
    assert found.seconds(100) == 1
    found.begin("workers")
    assert (found.seconds(100), found.most_seconds(100)) == (800, 1600)
