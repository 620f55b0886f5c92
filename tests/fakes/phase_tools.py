"""What the phases of a run share, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from iecpod.deploy.waiting.phase_tools import PhaseTools, make_phase_tools
from iecpod.design.deadline_factor import GuestSpeed
from iecpod.model import PodRef
from iecpod.ports import Clock
from tests.fakes.clock import FakeClock
from tests.fakes.reporter import RecordingReporter
from tests.pod_requests import pod_request


def fake_phase_tools(
    guest_speed: GuestSpeed = GuestSpeed(factor=1.0, low_overhead=False),  # noqa: B008 - a frozen value
    console: str | Callable[[str], str] | None = "",
    limits: Mapping[str, float] | None = None,
    clock: Clock | None = None,
    reporter: RecordingReporter | None = None,
    find_stopped: Callable[[], Sequence[str]] = tuple,
) -> PhaseTools:
    """For POD local/virtual1; waits take no time."""
    read_console = (lambda _node: console) if isinstance(console, str) else console
    request = pod_request(ref=PodRef("local", "virtual1"), base_uri="")
    used = reporter or RecordingReporter()
    return make_phase_tools(
        request.command, guest_speed, clock or FakeClock(), used, read_console, find_stopped, limits or {}
    )
