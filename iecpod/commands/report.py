"""How a run went: phases with their times, as text for people and JSON for jobs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from iecpod.commands.table import format_table
from iecpod.workflow import PhaseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`outcome` is `done`, `in place` or `failed`; `run_id` is what the objects of this run are marked with.

    `until` is the phase that the run was to stop after, None where it was to make a cluster.
    """

    pod: str
    run_id: str
    virt_type: str
    outcome: str
    phases: tuple[PhaseResult, ...]
    until: str | None = None

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    def to_json(self) -> str:
        data = asdict(self)
        for phase in data["phases"]:
            phase["seconds"] = round(phase["seconds"], 3)
        return json.dumps({**data, "seconds": round(self.seconds, 3)}, indent=2) + "\n"

    def to_text(self) -> str:
        rows = [(phase.name, phase.outcome, f"{phase.seconds:.1f}", phase.detail) for phase in self.phases]
        total = ("total", self.outcome, f"{self.seconds:.1f}", "")
        table = format_table(("PHASE", "OUTCOME", "SECONDS", "DETAIL"), [*rows, total])
        stopped = f"\nstopped after {self.until}, as asked; the same command without -e and --until goes on"
        return table + (stopped if self.until else "")
