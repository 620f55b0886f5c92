"""How phases wait: deadlines that follow the guests, what is told meanwhile, and what each node took."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from iecpod.design.pace import Pace
from iecpod.errors import GuestStopped, HypervisorUnavailable, IecpodError, NodeUnreachable, WaitTimeout
from iecpod.phases.console import console_tail
from iecpod.phases.parallel import run_on_nodes
from iecpod.ports import Clock, Reporter
from iecpod.results import DONE, FAILED, Failure, NodeResult
from iecpod.wait import Extension, poll

T = TypeVar("T")

#: So much of a wait's time may pass without a movement before it ends, once its time is up.
_STILL_SHARE = 0.25
#: What moves without end, such as a guest that boots again and again, is given up after so many times the deadline.
_MOST_TIMES = 2.0
_CONSOLE_SIGN_CHARACTERS = 2000
_TOLD_WITH_THE_CONSOLE = (WaitTimeout, NodeUnreachable, GuestStopped, HypervisorUnavailable)


class Watch:
    """Made for one POD's run; `command(verb, *arguments)` is a command line for that POD.

    `limits` are the seconds that a person gave whole phases, by name; they hold as given.
    `read_console` returns what a node has printed on its serial console so far, and is None where nodes have none;
    `find_stopped` returns the nodes whose virtual machines do not run any more.
    """

    def __init__(
        self,
        command: Callable[..., str],
        pace: Pace,
        clock: Clock,
        reporter: Reporter,
        read_console: Callable[[str], str] | None,
        find_stopped: Callable[[], Sequence[str]],
        limits: Mapping[str, float],
    ) -> None:
        self.clock = clock
        self.reporter = reporter
        self.command = command
        self._assumed = self._pace = pace
        self._console = read_console
        self._find_stopped = find_stopped
        self._limits = dict(limits)
        self._lock = threading.Lock()
        self.begin("")

    def begin(self, phase: str) -> None:
        """Limits count from here, and results of nodes are those of this phase."""
        self._phase = phase
        self._began_at = self.clock.now()
        self._results: dict[str, NodeResult] = {}

    def read_console(self, node: str) -> str:
        """Empty where nodes have no console."""
        return self._console(node) if self._console is not None else ""

    @property
    def node_results(self) -> tuple[NodeResult, ...]:
        return tuple(self._results[node] for node in sorted(self._results))

    @property
    def go_on(self) -> str:
        return f"resume with `{self.command('deploy')}`"

    @property
    def low_overhead(self) -> bool:
        return self._pace.low_overhead

    def measured_boot(self, node: str, seconds: float) -> None:
        """Deadlines from now on are those of the slowest guest, where it is slower than was assumed."""
        with self._lock:
            found = self._assumed.measured(seconds)
            if found.factor <= self._pace.factor:
                return
            self._pace = found
        self.reporter.progress(f"took {seconds:.0f} s to boot: deadlines are {found.factor:.1f} times KVM's", node)

    def seconds(self, on_kvm_seconds: float) -> float:
        """How long something may take that takes at most `on_kvm_seconds` with KVM."""
        limit = self._limits.get(self._phase)
        if limit is None:
            return self._pace.seconds(on_kvm_seconds)
        return max(1.0, self._began_at + limit - self.clock.now())

    def most_seconds(self, on_kvm_seconds: float) -> float:
        """As `seconds`, for a wait that moves to its end."""
        seconds = self.seconds(on_kvm_seconds)
        return seconds if self._phase in self._limits else seconds * _MOST_TIMES

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
    ) -> T:
        """`poll` with this run's deadlines; `seconds` is the deadline with KVM.

        The `WaitTimeout` carries the end of the console of `console_of` (else `node`) and the command to go on with.
        Raises `GuestStopped` for any node of the POD: without it, what is awaited of another may never come.
        """
        console_of = console_of or node

        def tell(seen: str) -> None:
            self.reporter.waiting(awaited, seen, node)
            for stopped in self._find_stopped():
                raise GuestStopped(stopped)

        try:
            return poll(
                f"{node}: {awaited}" if node else awaited,
                probe,
                timeout_seconds=self.seconds(seconds),
                clock=self.clock,
                interval_seconds=interval_seconds,
                remedy=remedy,
                extension=self._extension(seconds, console_of),
                tell=tell,
            )
        except WaitTimeout as error:
            self.explain(error, console_of)
            raise
        except GuestStopped as error:
            self.explain(error, error.node)
            raise

    def on_nodes(self, hostnames: Sequence[str], work: Callable[[str], T]) -> dict[str, T]:
        """`run_on_nodes`, timed and told; for work, not for probes."""
        return run_on_nodes(hostnames, lambda hostname: self._on_node(hostname, work))

    def note(self, result: NodeResult) -> None:
        """Keeps and tells what a node took in this phase."""
        with self._lock:
            self._results[result.node] = result
        self.reporter.node_finished(result.node, result.outcome, result.seconds)

    def explain(self, error: IecpodError, node: str = "") -> None:
        """Says what to run next of what did not come, or went away; of a node also the end of its console, if any."""
        if self.go_on in error.remedy or error.evidence or not isinstance(error, _TOLD_WITH_THE_CONSOLE):
            return
        hints = [error.remedy, self.go_on]
        if node and self._console is not None:
            error.evidence = console_tail(node, self._console(node))
            hints.insert(1, f"look at the guest with `{self.command('console', node)}`")
        elif node:
            hints.insert(1, f"log in with `{self.command('ssh', node)}`, or at the machine itself")
        error.remedy = "; ".join(hint for hint in hints if hint)

    def _extension(self, seconds: float, node: str) -> Extension:
        def signs() -> object:
            return self.read_console(node)[-_CONSOLE_SIGN_CHARACTERS:] if node else None

        return Extension(
            still_seconds=self.seconds(seconds) * _STILL_SHARE, most_seconds=self.most_seconds(seconds), signs=signs
        )

    def _on_node(self, hostname: str, work: Callable[[str], T]) -> T:
        start = self.clock.now()
        self.reporter.node_started(hostname)
        try:
            result = work(hostname)
        except BaseException as error:
            if isinstance(error, IecpodError):
                self.explain(error, hostname)
            self.note(NodeResult(hostname, FAILED, self.clock.now() - start, Failure.of(error)))
            raise
        self.note(NodeResult(hostname, DONE, self.clock.now() - start))
        return result
