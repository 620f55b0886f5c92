"""Who gets the progress of a run: people on standard error, the log, and programs that read events."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from iecpod.errors import UsageError
from iecpod.files.writer import READABLE, open_append
from iecpod.ports import Reporter
from iecpod.progress.event_lines import JsonLinesReporter, Run
from iecpod.progress.plain_lines import PlainReporter, heartbeat

_LOG = logging.getLogger("iecpod.run")

#: What is seen of a wait is logged when it differs, but no more often: consoles differ all the time.
_OBSERVATION_SECONDS = 10.0


@contextlib.contextmanager
def make_reporter(
    environ: Mapping[str, str], *, is_terminal: bool, events: tuple[Path, Run] | None = None
) -> Iterator[Reporter]:
    """The reporter for standard error, with the log and, where a file for `events` is given, JSON lines in that file.

    `NO_COLOR` is honoured; a terminal that cannot move its cursor (`TERM=dumb`) gets plain lines.
    """
    with contextlib.ExitStack() as stack:
        reporters: list[Reporter] = [LogReporter()]
        if events is not None:
            path, run = events
            lines = JsonLinesReporter(stack.enter_context(_open_events(path)), run)
            stack.enter_context(lines.whole_run())
            reporters.append(lines)
        if is_terminal and environ.get("TERM", "dumb") != "dumb":
            from rich.console import Console

            from iecpod.progress.live_display import LiveReporter

            console = Console(stderr=True, no_color=bool(environ.get("NO_COLOR")), highlight=False)
            reporters.append(stack.enter_context(contextlib.closing(LiveReporter(console))))
        else:
            plain = PlainReporter(sys.stderr)
            stack.enter_context(heartbeat(plain))
            reporters.append(plain)
        yield FanOut(reporters)


def _open_events(path: Path) -> TextIO:
    try:
        return open_append(path, READABLE)
    except OSError as error:
        raise UsageError(
            f"events cannot be written to {path}: {error.strerror or error}",
            "name a file that can be written with --events (or in IECPOD_EVENTS), or leave it out",
        ) from error


class LogReporter:
    """Into the program's log, so that the log alone is complete; of waits, what is seen, seldom enough to be read."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: dict[tuple[str, str], tuple[str, float]] = {}

    def phase_started(self, phase: str, summary: str) -> None:
        _LOG.info("phase %s: %s", phase, summary)

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        _LOG.info("%s: %s, %.1f s", outcome, phase, seconds)

    def node_started(self, node: str) -> None:
        pass

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        _LOG.info("%s: %s, %.1f s", node, outcome, seconds)

    def progress(self, message: str, node: str = "") -> None:
        _LOG.info("%s%s", f"{node}: " if node else "", message)

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        text, logged_at = self._seen.get((node, awaited), ("", float("-inf")))
        if last_seen != text and self._now() - logged_at >= _OBSERVATION_SECONDS:
            self._seen[node, awaited] = (last_seen, self._now())
            _LOG.info("%swaits for %s: %s", f"{node}: " if node else "", awaited, last_seen)

    def warn(self, message: str) -> None:
        _LOG.warning("%s", message)


class FanOut:
    """Tells several reporters the same."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def phase_started(self, phase: str, summary: str) -> None:
        for reporter in self._reporters:
            reporter.phase_started(phase, summary)

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        for reporter in self._reporters:
            reporter.phase_finished(phase, outcome, seconds)

    def node_started(self, node: str) -> None:
        for reporter in self._reporters:
            reporter.node_started(node)

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        for reporter in self._reporters:
            reporter.node_finished(node, outcome, seconds)

    def progress(self, message: str, node: str = "") -> None:
        for reporter in self._reporters:
            reporter.progress(message, node)

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        for reporter in self._reporters:
            reporter.waiting(awaited, last_seen, node)

    def warn(self, message: str) -> None:
        for reporter in self._reporters:
            reporter.warn(message)
