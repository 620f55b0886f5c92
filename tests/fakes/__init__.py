"""Real objects behind the ports for tests, one module a port."""

from tests.fakes.api_server import FakeApiServer
from tests.fakes.clock import FakeClock
from tests.fakes.hypervisor import FACTS, FakeHost, FakeHypervisor
from tests.fakes.phase_tools import fake_phase_tools
from tests.fakes.reporter import RecordingReporter
from tests.fakes.shell import FakeShell, Reply

__all__ = [
    "FACTS",
    "FakeApiServer",
    "FakeClock",
    "FakeHost",
    "FakeHypervisor",
    "FakeShell",
    "RecordingReporter",
    "Reply",
    "fake_phase_tools",
]
