"""Progress as lines with the time of day, for logs of jobs and terminals that cannot move their cursor."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TextIO

from iecpod.printable import printable_entry
from iecpod.progress.current_steps import CurrentSteps

#: A job that prints nothing for long looks dead.
_SILENT_SECONDS = 60.0
_BEAT_SECONDS = 5.0
_MOST_NODES = 8


def _local_time() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


class PlainReporter:
    """One line for each event; what is said twice in a row about a node is written once.

    Waits are for `report_silence`: after a minute without a line it says what is awaited and what was last seen.
    """

    def __init__(
        self, stream: TextIO, clock: Callable[[], str] = _local_time, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._now = now
        self._wrote_at = now()
        self._said: dict[str, str] = {}
        self._lock = threading.Lock()
        self._steps = CurrentSteps()

    def phase_started(self, phase: str, summary: str) -> None:
        self._steps.begin(phase, summary, self._now())
        self._write(f"phase {phase}: {summary}")

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        self._steps.end()
        with self._lock:
            self._said.clear()
        self._write(f"{outcome}: {phase}, {seconds:.1f} s")

    def node_started(self, node: str) -> None:
        self._steps.step(node, "started", self._now())

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        self._steps.finish(node, outcome, seconds)
        self._write(f"  {node}: {outcome}, {seconds:.1f} s")

    def progress(self, message: str, node: str = "") -> None:
        self._steps.step(node, message, self._now())
        with self._lock:
            if self._said.get(node) == message:
                return
            self._said[node] = message
        self._write(f"  {node}: {message}" if node else f"  {message}")

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        self._steps.step(node, f"waits for {awaited}", self._now(), last_seen)

    def warn(self, message: str) -> None:
        self._write(f"warning: {message}")

    def report_silence(self) -> None:
        """Says what the run is at, if nothing was written for a minute."""
        now = self._now()
        if now - self._wrote_at < _SILENT_SECONDS:
            return
        phase = [f"{self._steps.phase}, {now - self._steps.started_at:.0f} s"] if self._steps.phase else []
        lines = self._steps.lines(now, finished=False)
        more = [f"and {len(lines) - _MOST_NODES} more"] if len(lines) > _MOST_NODES else []
        if phase or lines:
            self._write("still " + " | ".join([*phase, *lines[:_MOST_NODES], *more]))

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError), self._lock:  # its reader has gone
            self._wrote_at = self._now()
            self._stream.write(f"{self._clock()} {printable_entry(line)}\n")
            self._stream.flush()


@contextlib.contextmanager
def heartbeat(reporter: PlainReporter) -> Iterator[None]:
    """Breaks the reporter's silence for as long as the block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(_BEAT_SECONDS):
            reporter.report_silence()

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
