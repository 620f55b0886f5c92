"""Deadlines: what moves gets more time, up to a bound; nothing else does."""

from __future__ import annotations

import pytest

from iecpod.design.deadline_factor import GuestSpeed
from iecpod.errors import WaitTimeout
from iecpod.wait import Deadline, Extension, NotYet, poll
from tests.fakes import FakeClock


def seconds_waited(observe: str, signs: str, *, seconds: float = 100.0) -> float:
    """How long a wait in vain lasts; `observe` and `signs` are formats over the second."""
    clock = FakeClock()

    def probe() -> None:
        raise NotYet(observe.format(int(clock.now())))

    extension = Extension(still_seconds=20, most_seconds=300, signs=lambda: signs.format(int(clock.now())))
    with pytest.raises(WaitTimeout):
        poll("x", probe, timeout_seconds=seconds, clock=clock, extension=extension)
    return clock.now()


@pytest.mark.parametrize(
    ("observe", "signs", "waited"),
    [("same", "same", 100), ("line {}", "same", 300), ("same", "console {}", 300)],
)
def test_what_moves_gets_more_time_up_to_a_bound(observe: str, signs: str, waited: float) -> None:
    assert seconds_waited(observe, signs) == waited


def test_a_wait_ends_when_it_has_been_still_for_long_enough() -> None:
    deadline = Deadline(0, 100, Extension(still_seconds=20, most_seconds=300))
    assert deadline.after("booting", 10) == 100
    assert deadline.after("login", 95) == 115
    assert deadline.after("login", 110) == 115
    assert deadline.after("booting", 112) == 115  # seen before: to and fro is no movement
    assert deadline.after("cloud-init", 114) == 134
    assert deadline.after("done soon", 299) == 300


def test_without_an_extension_a_deadline_is_fixed() -> None:
    deadline = Deadline(5, 100)
    assert [deadline.after(str(now), now) for now in (6, 90, 104)] == [105, 105, 105]


def test_every_observation_is_reported() -> None:
    shown: list[str] = []
    answers = iter(["one", "two", ""])

    def probe() -> str:
        if answer := next(answers):
            raise NotYet(answer)
        return "there"

    assert poll("x", probe, timeout_seconds=9, clock=FakeClock(), notify=shown.append) == "there"
    assert shown == ["one", "two"]


@pytest.mark.parametrize(
    ("assumed", "boot_seconds", "factor"),
    [(1, 20, 1), (1, 50, 2), (1, 10_000, 4), (8, 160, 8), (8, 400, 16), (8, 90_000, 32), (8, -3600, 8)],
)
def test_a_slow_boot_stretches_deadlines_and_a_fast_one_never_shortens_them(
    assumed: float, boot_seconds: float, factor: float
) -> None:
    assert GuestSpeed(assumed, low_overhead=True).measured(boot_seconds) == GuestSpeed(factor, low_overhead=True)
