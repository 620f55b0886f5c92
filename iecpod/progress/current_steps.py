"""What a run is at right now: the phase, and each node's present step with its age."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(slots=True)
class _Step:
    text: str
    since: float
    last_seen: str = ""
    took_seconds: float | None = None


class CurrentSteps:
    """Kept by reporters that show the present; times are those of a monotonic clock. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, _Step] = {}
        self.phase = ""
        self.summary = ""
        self.started_at = 0.0

    def begin(self, phase: str, summary: str, now: float) -> None:
        with self._lock:
            self.phase, self.summary, self.started_at = phase, summary, now
            self._steps = {}

    def end(self) -> None:
        with self._lock:
            self.phase, self._steps = "", {}

    def step(self, node: str, text: str, now: float, last_seen: str = "") -> None:
        """A node's step; it keeps its age for as long as `text` stays the same."""
        with self._lock:
            known = self._steps.get(node)
            if known is not None and known.text == text:
                known.last_seen = last_seen
            else:
                self._steps[node] = _Step(text, now, last_seen)

    def finish(self, node: str, outcome: str, seconds: float) -> None:
        with self._lock:
            self._steps[node] = _Step(outcome, 0.0, took_seconds=seconds)

    def lines(self, now: float, *, finished: bool) -> list[str]:
        """A line a node, in order of their names; with those that have `finished`, or without."""
        with self._lock:
            steps = [(node, step) for node, step in sorted(self._steps.items())]
        return [_line(node, step, now) for node, step in steps if finished or step.took_seconds is None]


def _line(node: str, step: _Step, now: float) -> str:
    seconds = step.took_seconds if step.took_seconds is not None else now - step.since
    seen = f": {step.last_seen}" if step.last_seen else ""
    return f"{node + ': ' if node else ''}{step.text}, {seconds:.0f} s{seen}"
