"""Work on nodes, timed: what each took in a phase, and whether it failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from iecpod.deploy.waiting.advice import Advice
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.errors import IecpodError
from iecpod.ports import Clock, Reporter
from iecpod.results import DONE, FAILED, Failure, NodeResult

T = TypeVar("T")


class NodeTimes:
    """Results are those of the phase that began last."""

    def __init__(self, clock: Clock, reporter: Reporter, advice: Advice) -> None:
        self._clock = clock
        self._reporter = reporter
        self._advice = advice
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Forgets the results of the phase before."""
        self._results: dict[str, NodeResult] = {}

    @property
    def results(self) -> tuple[NodeResult, ...]:
        return tuple(self._results[node] for node in sorted(self._results))

    def on_nodes(self, hostnames: Sequence[str], work: Callable[[str], T]) -> dict[str, T]:
        """`run_on_nodes`, timed and reported; for work, not for probes."""
        return run_on_nodes(hostnames, lambda hostname: self._on_node(hostname, work))

    def note(self, result: NodeResult) -> None:
        """Keeps and reports what a node took."""
        with self._lock:
            self._results[result.node] = result
        self._reporter.node_finished(result.node, result.outcome, result.seconds)

    def _on_node(self, hostname: str, work: Callable[[str], T]) -> T:
        start = self._clock.now()
        self._reporter.node_started(hostname)
        try:
            result = work(hostname)
        except BaseException as error:
            if isinstance(error, IecpodError):
                self._advice.explain(error, hostname)
            self.note(NodeResult(hostname, FAILED, self._clock.now() - start, Failure.of(error)))
            raise
        self.note(NodeResult(hostname, DONE, self._clock.now() - start))
        return result
