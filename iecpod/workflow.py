"""Phases and the loop that runs them: look, act, look again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from iecpod.errors import IecpodError
from iecpod.ports import Clock, Reporter

IN_PLACE = "in place"
DONE = "done"
FAILED = "failed"


class Phase(Protocol):
    """One step of a deploy. Its state is in the world only, so a run that was killed resumes by probing."""

    @property
    def name(self) -> str:
        """kebab-case; the same word in options, reports and logs."""

    @property
    def summary(self) -> str: ...

    def probe(self) -> str | None:
        """What is in place already, in words, or None when `run` has work to do. Changes nothing."""

    def run(self) -> None:
        """Makes it so; safe to repeat after being killed anywhere."""


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """`seconds` is wall time, probes included; `detail` is what the last probe saw or why it failed."""

    name: str
    outcome: str
    seconds: float
    detail: str


class PhaseFailed(Exception):
    """Carries the results so far with the error, so that a report can be written of a run that failed."""

    def __init__(self, results: Sequence[PhaseResult], error: BaseException) -> None:
        super().__init__(str(error))
        self.results = tuple(results)
        self.error = error


def run_phases(phases: Sequence[Phase], *, reporter: Reporter, clock: Clock) -> tuple[PhaseResult, ...]:
    """Runs the phases in order, skipping what is in place. Raises `PhaseFailed` with the cause inside."""
    results: list[PhaseResult] = []
    for phase in phases:
        start = clock.now()
        reporter.phase_started(phase.name, phase.summary)
        try:
            outcome, detail = _run_phase(phase)
        except BaseException as error:
            seconds = clock.now() - start
            reporter.phase_finished(phase.name, FAILED, seconds)
            results.append(PhaseResult(phase.name, FAILED, seconds, str(error)))
            raise PhaseFailed(results, error) from error
        seconds = clock.now() - start
        reporter.phase_finished(phase.name, outcome, seconds)
        results.append(PhaseResult(phase.name, outcome, seconds, detail))
    return tuple(results)


def _run_phase(phase: Phase) -> tuple[str, str]:
    seen = phase.probe()
    if seen is not None:
        return IN_PLACE, seen
    phase.run()
    seen = phase.probe()
    if seen is None:
        raise IecpodError(
            f"phase {phase.name} ran without an error, and what it makes is still not there",
            "run the command again; if it stays so, please report it with the log",
        )
    return DONE, seen
