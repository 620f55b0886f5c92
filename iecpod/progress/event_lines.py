"""Events of a run as JSON lines, for programs: docs/events.md says what each holds."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from iecpod.model import PodRef
from iecpod.results import DONE, FAILED, Failure

#: The fields that an event has beyond those of every event; `phase` and `node` only where there is one.
EVENTS = {
    "run-started": (),
    "run-finished": ("outcome", "seconds", "cause", "remedy", "evidence"),
    "phase-started": ("phase", "summary"),
    "phase-finished": ("phase", "outcome", "seconds"),
    "node-started": ("phase", "node"),
    "node-finished": ("phase", "node", "outcome", "seconds"),
    "progress": ("phase", "node", "message"),
    "waiting": ("phase", "node", "awaited", "last_seen"),
    "warning": ("phase", "message"),
}
FIELDS_OF_ALL = ("time", "event", "run_id", "verb", "lab", "pod")

#: Of a wait there is one event at its first look, and then one in so many seconds.
_WAITING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """What the events of one run have in common."""

    run_id: str
    verb: str
    ref: PodRef


class JsonLinesReporter:
    """One JSON object a line; a reader finds each as soon as it is written."""

    def __init__(self, stream: TextIO, run: Run, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._run = run
        self._now = now
        self._phase = ""
        self._waits: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def whole_run(self) -> Iterator[None]:
        """The first event and the last; errors pass."""
        start = self._now()
        self._write("run-started")
        try:
            yield
        except BaseException as error:
            self._write("run-finished", seconds=self._since(start), **_described(error))
            raise
        self._write("run-finished", outcome=DONE, seconds=self._since(start))

    def phase_started(self, phase: str, summary: str) -> None:
        self._phase = phase
        self._write("phase-started", summary=summary)

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        self._write("phase-finished", outcome=outcome, seconds=round(seconds, 3))
        self._phase = ""
        self._waits.clear()

    def node_started(self, node: str) -> None:
        self._write("node-started", node=node)

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        self._write("node-finished", node=node, outcome=outcome, seconds=round(seconds, 3))

    def progress(self, message: str, node: str = "") -> None:
        self._write("progress", node=node, message=message)

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        known, reported_at = self._waits.get(node, ("", 0.0))
        if known != awaited or self._now() - reported_at >= _WAITING_SECONDS:
            self._waits[node] = (awaited, self._now())
            self._write("waiting", node=node, awaited=awaited, last_seen=last_seen)

    def warn(self, message: str) -> None:
        self._write("warning", message=message)

    def _since(self, start: float) -> float:
        return round(self._now() - start, 3)

    def _write(self, event: str, **values: object) -> None:
        event_data: dict[str, object] = {
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "event": event,
            "run_id": self._run.run_id,
            "verb": self._run.verb,
            "lab": self._run.ref.lab,
            "pod": self._run.ref.pod,
        }
        places = {"phase": self._phase} if "phase" in EVENTS[event] else {}
        event_data |= {key: value for key, value in {**places, **values}.items() if value or key not in _PLACES}
        with contextlib.suppress(OSError, ValueError), self._lock:
            self._stream.write(json.dumps(event_data).replace("\x7f", "\\u007f") + "\n")
            self._stream.flush()


_PLACES = ("phase", "node")


def _described(error: BaseException) -> dict[str, str]:
    outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else FAILED
    failure = Failure.of(error)
    return {"outcome": outcome, "cause": failure.cause, "remedy": failure.remedy, "evidence": failure.evidence}
