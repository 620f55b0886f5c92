"""How a run went: phases with their times, as text for people and JSON for jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from iecpod.model import PodRef
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.reports.junit import Case, CaseFailure, Suite, to_junit
from iecpod.reports.table import format_table
from iecpod.results import FAILED, Failure, PhaseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`outcome` is `done`, `in place` or `failed`; `run_id` is what the objects of this run are marked with.

    `until` is the phase that the run was to stop after, None where it was to make a cluster. `known_phases` are the
    names of all phases of such a POD, as far as its provider is known.
    """

    pod: str
    run_id: str
    virt_type: str
    outcome: str
    phases: tuple[PhaseResult, ...]
    until: str | None = None
    known_phases: tuple[str, ...] = CLUSTER_PHASES

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    def to_json(self) -> str:
        data = asdict(self)
        del data["known_phases"]
        for phase in data["phases"]:
            for timed in (phase, *phase["nodes"]):
                timed["seconds"] = round(timed["seconds"], 3)
        return json.dumps({**data, "seconds": round(self.seconds, 3)}, indent=2) + "\n"

    def to_text(self) -> str:
        rows = [(phase.name, phase.outcome, f"{phase.seconds:.1f}", phase.detail) for phase in self.phases]
        total = ("total", self.outcome, f"{self.seconds:.1f}", "")
        table = format_table(("PHASE", "OUTCOME", "SECONDS", "DETAIL"), [*rows, total])
        stopped = f"\nstopped after {self.until}, as asked; run the same command without -e and --until to continue"
        return table + (stopped if self.until else "")

    def to_junit(self) -> str:
        """One case a phase, and one for each node that it worked on; phases that were not reached are skipped."""
        classname = self.pod.replace("/", ".")
        cases = []
        for phase in self.phases:
            cases.append(_case(classname, phase.name, phase.seconds, phase.failure, f"{phase.outcome}: {phase.detail}"))
            for node in phase.nodes:
                cases.append(_case(classname, f"{phase.name}[{node.node}]", node.seconds, node.failure, node.outcome))
        reached = {phase.name for phase in self.phases}
        for name in self.known_phases:
            if name not in reached:
                cases.append(Case(classname=classname, name=name, skipped="not reached"))
        return to_junit("iecpod deploy", [Suite(self.pod, tuple(cases), self.seconds)]) + "\n"

    def rewritten(self, rewrite: Callable[[str], str]) -> Report:
        """With its sentences changed, so that they contain no secret."""
        return replace(self, phases=tuple(phase.rewritten(rewrite) for phase in self.phases))


def refusal(ref: PodRef, run_id: str, error: BaseException) -> Report:
    """The report of a run that ended before its first phase, reported as a phase of its own."""
    failure = Failure.of(error)
    phase = PhaseResult("preflight", FAILED, 0.0, failure.cause, failure=failure)
    return Report(pod=str(ref), run_id=run_id, virt_type="", outcome=FAILED, phases=(phase,))


def _case(classname: str, name: str, seconds: float, failure: Failure | None, output: str) -> Case:
    if failure is None:
        return Case(classname=classname, name=name, seconds=seconds, output=output)
    remedy = f"remedy: {failure.remedy}" if failure.remedy else ""
    text = "\n".join(part for part in (failure.cause, failure.evidence, remedy) if part)
    shown = CaseFailure(message=failure.cause.partition("\n")[0], kind=FAILED, text=text)
    return Case(classname=classname, name=name, seconds=seconds, failure=shown)
