"""Programs of the host: clean environment, failures with their output."""

from __future__ import annotations

import pytest

from iecpod.adapters.programs import check_programs, run_program
from iecpod.errors import CommandFailed, HypervisorUnavailable


def test_environment_of_the_caller_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_ID", "a job runner ends what carries this")
    environment = run_program(["env"])
    assert "BUILD_ID" not in environment
    assert "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent" in environment


def test_failure_carries_status_and_output() -> None:
    with pytest.raises(CommandFailed, match="it broke") as caught:
        run_program(["sh", "-c", "echo it broke >&2; exit 3"])
    assert (caught.value.returncode, caught.value.node) == (3, "localhost")


def test_hanging_program() -> None:
    with pytest.raises(CommandFailed, match="no end within"):
        run_program(["sleep", "10"], timeout_seconds=0.1)


def test_missing_program() -> None:
    with pytest.raises(CommandFailed, match="no-such-program: not found"):
        run_program(["no-such-program"])


def test_every_missing_program_is_named_at_once() -> None:
    with pytest.raises(HypervisorUnavailable, match="no-such-a, no-such-b") as caught:
        check_programs(["sh", "no-such-a", "no-such-b"])
    assert "./bootstrap.sh" in caught.value.remedy
