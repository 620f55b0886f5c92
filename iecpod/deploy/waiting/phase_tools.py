"""What the phases of one run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from iecpod.deploy.waiting.advice import Advice
from iecpod.deploy.waiting.deadlines import Deadlines
from iecpod.deploy.waiting.node_times import NodeTimes
from iecpod.deploy.waiting.waits import Waits
from iecpod.design.deadline_factor import GuestSpeed
from iecpod.ports import Clock, Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTools:
    """Each part has one job; a phase that needs one or two of them takes those."""

    clock: Clock
    reporter: Reporter
    read_console: Callable[[str], str]
    deadlines: Deadlines
    advice: Advice
    waits: Waits
    node_times: NodeTimes

    def begin(self, phase: str) -> None:
        """Limits of the user count from here, and results of nodes are those of this phase."""
        self.deadlines.begin(phase)
        self.node_times.begin()


def make_phase_tools(
    command: Callable[..., str],
    guest_speed: GuestSpeed,
    clock: Clock,
    reporter: Reporter,
    read_console: Callable[[str], str] | None,
    find_stopped: Callable[[], Sequence[str]],
    limits: Mapping[str, float],
) -> PhaseTools:
    """For one POD's run; the arguments are those of the parts. `read_console` is None where nodes have no console."""
    deadlines = Deadlines(guest_speed, clock, limits)
    advice = Advice(command, read_console)
    read = read_console or _no_console
    return PhaseTools(
        clock=clock,
        reporter=reporter,
        read_console=read,
        deadlines=deadlines,
        advice=advice,
        waits=Waits(clock, reporter, deadlines, advice, read, find_stopped),
        node_times=NodeTimes(clock, reporter, advice),
    )


def _no_console(_node: str) -> str:
    return ""
