"""Waiting for a condition: one loop, with more time while something moves, and evidence when it runs out."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from iecpod.errors import WaitTimeout
from iecpod.ports import Clock

T = TypeVar("T")

#: Whether a probe is due is looked at so often; what happens meanwhile is seen by one probe.
_DUE_SECONDS = 0.2


class SystemClock:
    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def today(self) -> datetime.date:
        return datetime.datetime.now(datetime.timezone.utc).date()


class NotYet(Exception):
    """Raised by a probe that did not find what it looks for; the text is the observation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """More time for what moves: a wait continues until nothing has for `still_seconds`, and for `most_seconds` in all.

    An observation that was not made before is a movement, and so is a change of what `signs` returns.
    """

    still_seconds: float
    most_seconds: float
    signs: Callable[[], object] = lambda: None


class Deadline:
    """When a wait that began at `start` ends. Without an extension that is fixed."""

    def __init__(self, start: float, seconds: float, extension: Extension | None = None) -> None:
        self._start = start
        self._end = start + seconds
        self._extension = extension
        self._moved_at = start
        self._seen: set[str] = set()
        self._signs: object = None

    def after(self, observation: str, now: float) -> float:
        """The end of the wait, given what is seen now."""
        if self._extension is None:
            return self._end
        signs = self._extension.signs()
        if observation not in self._seen or signs != self._signs:
            self._moved_at = now
        self._seen.add(observation)
        self._signs = signs
        extended = min(self._moved_at + self._extension.still_seconds, self._start + self._extension.most_seconds)
        return max(self._end, extended)


def poll(
    awaited: str,
    probe: Callable[[], T],
    *,
    timeout_seconds: float,
    clock: Clock,
    interval_seconds: float = 1.0,
    remedy: str = "",
    extension: Extension | None = None,
    notify: Callable[[str], None] = lambda _observation: None,
    is_due: Callable[[], bool] = lambda: False,
) -> T:
    """Calls `probe` until it returns instead of raising `NotYet`; raises `WaitTimeout` with the last observation.

    `notify` is given every observation. `probe` is called again after `interval_seconds`, or when it `is_due`.
    """
    start = clock.now()
    deadline = Deadline(start, timeout_seconds, extension)
    while True:
        try:
            return probe()
        except NotYet as observation:
            notify(str(observation))
            now = clock.now()
            end = deadline.after(str(observation), now)
            if now >= end:
                raise WaitTimeout(awaited, now - start, str(observation), remedy) from observation
        _sleep(clock, min(interval_seconds, end - now), is_due)


def _sleep(clock: Clock, seconds: float, is_due: Callable[[], bool]) -> None:
    end = clock.now() + seconds
    while (left := end - clock.now()) > 0:
        clock.sleep(min(left, _DUE_SECONDS))
        if is_due():
            return
