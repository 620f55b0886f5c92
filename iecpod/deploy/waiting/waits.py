"""Waits of a run: each ends at its deadline, later while something moves, and when a guest stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from iecpod.deploy.waiting.advice import Advice
from iecpod.deploy.waiting.deadlines import Deadlines
from iecpod.errors import GuestStopped, WaitTimeout
from iecpod.ports import Clock, Reporter
from iecpod.wait import Extension, poll

T = TypeVar("T")

#: So much of a wait's time may pass without a movement before it ends, once its time is up.
_STILL_SHARE = 0.25
_CONSOLE_SIGN_CHARACTERS = 2000


class Waits:
    """`read_console` returns what a node has printed on its serial console so far, `find_stopped` the nodes whose
    virtual machines do not run any more.
    """

    def __init__(
        self,
        clock: Clock,
        reporter: Reporter,
        deadlines: Deadlines,
        advice: Advice,
        read_console: Callable[[str], str],
        find_stopped: Callable[[], Sequence[str]],
    ) -> None:
        self._clock = clock
        self._reporter = reporter
        self._deadlines = deadlines
        self._advice = advice
        self._read_console = read_console
        self._find_stopped = find_stopped

    def wait_for(
        self,
        awaited: str,
        probe: Callable[[], T],
        *,
        seconds: float,
        node: str = "",
        console_of: str = "",
        remedy: str = "",
        interval_seconds: float = 1.0,
        is_due: Callable[[], bool] = lambda: False,
    ) -> T:
        """`poll` with this run's deadlines; `seconds` is the deadline with KVM.

        The `WaitTimeout` carries the end of the console of `console_of` (else `node`) and the command that resumes.
        Raises `GuestStopped` for any node of the POD: without it, what is awaited of another may never come.
        """
        console_of = console_of or node

        def notify(seen: str) -> None:
            self._reporter.waiting(awaited, seen, node)
            for stopped in self._find_stopped():
                raise GuestStopped(stopped)

        try:
            return poll(
                f"{node}: {awaited}" if node else awaited,
                probe,
                timeout_seconds=self._deadlines.seconds(seconds),
                clock=self._clock,
                interval_seconds=interval_seconds,
                remedy=remedy,
                extension=self._extension(seconds, console_of),
                notify=notify,
                is_due=is_due,
            )
        except WaitTimeout as error:
            self._advice.explain(error, console_of)
            raise
        except GuestStopped as error:
            self._advice.explain(error, error.node)
            raise

    def _extension(self, seconds: float, node: str) -> Extension:
        def signs() -> object:
            return self._read_console(node)[-_CONSOLE_SIGN_CHARACTERS:] if node else None

        return Extension(
            still_seconds=self._deadlines.seconds(seconds) * _STILL_SHARE,
            most_seconds=self._deadlines.most_seconds(seconds),
            signs=signs,
        )
