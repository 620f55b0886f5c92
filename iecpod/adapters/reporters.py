"""How a run tells what it does: live on a terminal, one line an event elsewhere, JSON lines for programs, the log."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from iecpod.errors import UsageError
from iecpod.ports import Reporter

_OUTCOME_STYLES = {"done": "green", "in place": "cyan", "failed": "bold red"}
_LOG = logging.getLogger("iecpod.run")


@contextlib.contextmanager
def make_reporter(environ: Mapping[str, str], *, is_terminal: bool) -> Iterator[Reporter]:
    """The reporter for standard error, with the log and, where `IECPOD_EVENTS` names a file, JSON lines in that file.

    `NO_COLOR` is honoured; a terminal that cannot move its cursor (`TERM=dumb`) gets plain lines.
    """
    with contextlib.ExitStack() as stack:
        reporters: list[Reporter] = [LogReporter()]
        if path := environ.get("IECPOD_EVENTS"):
            reporters.append(JsonLinesReporter(stack.enter_context(_open_events(Path(path)))))
        if is_terminal and environ.get("TERM", "dumb") != "dumb":
            console = Console(stderr=True, no_color=bool(environ.get("NO_COLOR")), highlight=False)
            reporters.append(stack.enter_context(contextlib.closing(LiveReporter(console))))
        else:
            reporters.append(PlainReporter(sys.stderr))
        yield FanOut(reporters)


def _open_events(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise UsageError(
            f"events cannot be written to {path}: {error.strerror or error}",
            "name a file that can be written in IECPOD_EVENTS, or leave it out",
        ) from error


def _local_time() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


class PlainReporter:
    """One line with the time of day for each event; what is said twice in a row about a node is written once."""

    def __init__(self, stream: TextIO, clock: Callable[[], str] = _local_time) -> None:
        self._stream = stream
        self._clock = clock
        self._said: dict[str, str] = {}
        self._lock = threading.Lock()

    def phase_started(self, phase: str, summary: str) -> None:
        self._write(f"phase {phase}: {summary}")

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        self._said.clear()
        self._write(f"{outcome}: {phase}, {seconds:.1f} s")

    def progress(self, message: str, node: str = "") -> None:
        with self._lock:
            if self._said.get(node) == message:
                return
            self._said[node] = message
        self._write(f"  {node}: {message}" if node else f"  {message}")

    def warn(self, message: str) -> None:
        self._write(f"warning: {message}")

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError), self._lock:  # nobody reads it any more
            self._stream.write(f"{self._clock()} {line}\n")
            self._stream.flush()


class JsonLinesReporter:
    """One JSON object a line, with `time` (RFC 3339) and `event`; the other keys are the arguments of the event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def phase_started(self, phase: str, summary: str) -> None:
        self._write("phase-started", phase=phase, summary=summary)

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        self._write("phase-finished", phase=phase, outcome=outcome, seconds=round(seconds, 3))

    def progress(self, message: str, node: str = "") -> None:
        self._write("progress", message=message, node=node)

    def warn(self, message: str) -> None:
        self._write("warning", message=message)

    def _write(self, event: str, **values: object) -> None:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **values}, ensure_ascii=False)
        with contextlib.suppress(OSError, ValueError), self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


class LogReporter:
    """Into the program's log, so that the log alone tells a run's story."""

    def phase_started(self, phase: str, summary: str) -> None:
        _LOG.info("phase %s: %s", phase, summary)

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        _LOG.info("%s: %s, %.1f s", outcome, phase, seconds)

    def progress(self, message: str, node: str = "") -> None:
        _LOG.info("%s%s", f"{node}: " if node else "", message)

    def warn(self, message: str) -> None:
        _LOG.warning("%s", message)


class LiveReporter:
    """Finished phases stay as lines; below them the present phase turns, with the last word of each node."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._phase = ""
        self._summary = ""
        self._started_at = 0.0
        self._nodes: dict[str, str] = {}
        self._spinner = Spinner("line")
        self._live: Live | None = None

    def phase_started(self, phase: str, summary: str) -> None:
        with self._lock:
            self._phase, self._summary, self._started_at = phase, summary, time.monotonic()
            self._nodes = {}
        self._show()

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        with self._lock:
            self._phase, self._nodes = "", {}
        line = Text.assemble((f"{outcome:>8}", _OUTCOME_STYLES.get(outcome, "")), f"  {phase:<14}{seconds:8.1f} s")
        self._print(line)

    def progress(self, message: str, node: str = "") -> None:
        with self._lock:
            self._nodes[node] = message
        self._show()

    def warn(self, message: str) -> None:
        self._print(Text.assemble((" warning", "yellow"), f"  {message}"))

    def close(self) -> None:
        """Leaves the finished lines on the screen and gives the terminal back."""
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
            self._live = None

    def _show(self) -> None:
        """The live area begins with the first thing to show: a command without phases never has one."""
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                transient=True,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            with contextlib.suppress(OSError, ValueError):
                self._live.start()

    def _print(self, line: Text) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._live is not None:
                self._live.refresh()  # else what it drew last is drawn again below the line
            self._console.print(line, soft_wrap=True)

    def _render(self) -> Group:
        with self._lock:
            nodes = [
                Text(f"          {node + ': ' if node else ''}{text}") for node, text in sorted(self._nodes.items())
            ]
            if self._phase:
                elapsed = time.monotonic() - self._started_at
                self._spinner.update(text=Text(f"       {self._phase:<14}{elapsed:8.0f} s  {self._summary}"))
                return Group(self._spinner, *nodes)
        return Group(*nodes)


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

    def progress(self, message: str, node: str = "") -> None:
        for reporter in self._reporters:
            reporter.progress(message, node)

    def warn(self, message: str) -> None:
        for reporter in self._reporters:
            reporter.warn(message)
