"""Real objects behind the ports for tests, one module a port."""

from tests.fakes.api_server import FakeApiServer
from tests.fakes.clock import FakeClock
from tests.fakes.hypervisor import FACTS, FakeHost, FakeHypervisor
from tests.fakes.reporter import RecordingReporter
from tests.fakes.shell import FakeShell, Reply
from tests.fakes.watch import fake_watch

__all__ = [
    "FACTS",
    "FakeApiServer",
    "FakeClock",
    "FakeHost",
    "FakeHypervisor",
    "FakeShell",
    "RecordingReporter",
    "Reply",
    "fake_watch",
]
