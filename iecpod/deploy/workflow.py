"""Phases and the loop that runs them: look, act, look again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.errors import ExitCode, IecpodError, Interrupted
from iecpod.results import DONE, FAILED, IN_PLACE, Failure, PhaseResult


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


class PhaseFailed(Exception):
    """Carries the results so far with the error, so that a report can be written of a run that failed."""

    def __init__(self, results: Sequence[PhaseResult], error: BaseException) -> None:
        super().__init__(str(error))
        self.results = tuple(results)
        self.error = error


def run_phases(phases: Sequence[Phase], tools: PhaseTools) -> tuple[PhaseResult, ...]:
    """Runs `phases` in order; what a probe finds in place is not run. Raises `PhaseFailed`.

    A signal is raised on in it as `Interrupted`, which says in which phase.
    """
    results: list[PhaseResult] = []
    for phase in phases:
        result, error = _run_timed(phase, tools)
        tools.reporter.phase_finished(result.name, result.outcome, result.seconds)
        results.append(result)
        if error is not None:
            raise PhaseFailed(results, error) from error
    return tuple(results)


def _run_timed(phase: Phase, tools: PhaseTools) -> tuple[PhaseResult, BaseException | None]:
    start = tools.clock.now()
    tools.begin(phase.name)
    tools.reporter.phase_started(phase.name, phase.summary)
    error: BaseException | None = None
    failure: Failure | None = None
    try:
        outcome, detail = _run_phase(phase)
    except BaseException as raised:  # also a signal: the report says how far a run came
        error = _explained(raised, phase, tools)
        outcome, detail, failure = FAILED, str(error), Failure.of(error)
    seconds = tools.clock.now() - start
    return PhaseResult(phase.name, outcome, seconds, detail, tools.node_times.results, failure), error


def _explained(error: BaseException, phase: Phase, tools: PhaseTools) -> BaseException:
    if isinstance(error, KeyboardInterrupt):
        remedy = (
            f"`{tools.advice.command('deploy')}` resumes, `{tools.advice.command('teardown')}` removes what is there"
        )
        return Interrupted(f"interrupted in phase {phase.name}", remedy)
    if isinstance(error, IecpodError):
        tools.advice.explain(error)
        if error.exit_code is ExitCode.PREFLIGHT:  # which says that nothing was changed
            error.exit_code = ExitCode.FAILED
    return error


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
