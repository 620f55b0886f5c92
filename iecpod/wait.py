"""Waiting for a condition: one loop, with evidence when it runs out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from iecpod.errors import WaitTimeout
from iecpod.ports import Clock

T = TypeVar("T")


class SystemClock:
    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class NotYet(Exception):
    """Raised by a probe that did not find what it looks for; the text is the observation."""


def poll(
    awaited: str,
    probe: Callable[[], T],
    *,
    timeout_seconds: float,
    clock: Clock,
    interval_seconds: float = 1.0,
    remedy: str = "",
) -> T:
    """Calls `probe` until it returns instead of raising `NotYet`; raises `WaitTimeout` with the last observation."""
    start = clock.now()
    while True:
        try:
            return probe()
        except NotYet as observation:
            waited = clock.now() - start
            if waited >= timeout_seconds:
                raise WaitTimeout(awaited, waited, str(observation), remedy) from observation
        clock.sleep(min(interval_seconds, max(0.0, timeout_seconds - waited)))
