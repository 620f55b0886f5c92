"""Progress on a terminal: what is done stays as lines, and below them the present phase turns."""

from __future__ import annotations

import contextlib
import threading
import time

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from iecpod.printable import printable_entry, printable_line
from iecpod.progress.current_steps import CurrentSteps

_OUTCOME_STYLES = {"done": "green", "in place": "cyan", "failed": "bold red"}


class LiveReporter:
    """Under the present phase there is a line a node: its step, for how long, and what a wait saw last."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps = CurrentSteps()
        self._spinner = Spinner("line")
        self._live: Live | None = None
        self._lock = threading.Lock()

    def phase_started(self, phase: str, summary: str) -> None:
        self._steps.begin(phase, summary, time.monotonic())
        self._show()

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        self._steps.end()
        line = Text.assemble((f"{outcome:>8}", _OUTCOME_STYLES.get(outcome, "")), f"  {phase:<14}{seconds:8.1f} s")
        self._print(line)

    def node_started(self, node: str) -> None:
        self._step(node, "started")

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        self._steps.finish(node, outcome, seconds)

    def progress(self, message: str, node: str = "") -> None:
        self._step(node, message)

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        self._step(node, f"waits for {awaited}", last_seen)

    def warn(self, message: str) -> None:
        self._print(Text.assemble((" warning", "yellow"), f"  {printable_entry(message)}"))

    def close(self) -> None:
        """Leaves the finished lines on the screen and gives the terminal back."""
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
            self._live = None

    def _step(self, node: str, text: str, last_seen: str = "") -> None:
        self._steps.step(node, text, time.monotonic(), last_seen)
        self._show()

    def _show(self) -> None:
        """The live area begins with the first thing to show: a command without phases never has one."""
        with self._lock:
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
        now = time.monotonic()
        nodes = [_node_line(line) for line in self._steps.lines(now, finished=True)]
        if not self._steps.phase:
            return Group(*nodes)
        elapsed = now - self._steps.started_at
        self._spinner.update(
            text=Text(f"       {self._steps.phase:<14}{elapsed:8.0f} s  {printable_line(self._steps.summary)}")
        )
        return Group(self._spinner, *nodes)


def _node_line(line: str) -> Text:
    """One row of the screen, however long the last word of a console is."""
    return Text(f"          {printable_line(line)}", no_wrap=True, overflow="ellipsis")
