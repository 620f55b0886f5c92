"""Programs of the host: clean environment, failures with their output."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from iecpod.adapters.host_programs import CANNOT_RUN, call_program, check_programs, follow_log, run_program
from iecpod.errors import CommandFailed, HypervisorUnavailable
from iecpod.ports import CommandResult


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
    with pytest.raises(CommandFailed, match=r"timed out after 0\.1 s"):
        run_program(["sleep", "10"], timeout_seconds=0.1)


def test_missing_program() -> None:
    with pytest.raises(CommandFailed, match="no-such-program: not found"):
        run_program(["no-such-program"])


def test_every_missing_program_is_named_at_once() -> None:
    with pytest.raises(HypervisorUnavailable, match="no-such-a, no-such-b") as caught:
        check_programs(["sh", "no-such-a", "no-such-b"])
    assert "./bootstrap.sh" in caught.value.remedy


def test_a_program_that_cannot_be_run() -> None:
    with pytest.raises(CommandFailed, match="Permission denied") as caught:
        call_program(["/etc/passwd"])
    assert caught.value.returncode == CANNOT_RUN


def test_an_exit_status_is_an_answer(tmp_path: Path) -> None:
    done = call_program(["sh", "-c", "cat; pwd; echo no >&2; exit 127"], stdin=b"given\n", directory=tmp_path)
    assert done == CommandResult(127, f"given\n{tmp_path}\n", "no\n")


def test_a_program_of_a_new_session_has_no_terminal() -> None:
    own = call_program(["ps", "-o", "sid=", "-p", str(os.getpid())]).stdout
    assert call_program(["sh", "-c", "ps -o sid= -p $$"]).stdout == own
    assert call_program(["sh", "-c", "ps -o sid= -p $$"], new_session=True).stdout != own


def test_a_log_is_read_once_and_to_its_end(tmp_path: Path) -> None:
    """What was in it before is not read, and what was read is not read again."""
    path, seen = tmp_path / "log", list[bytes]()
    path.write_bytes(b"of before\n")
    script = "echo one; sleep 0.3; head -c 3000000 /dev/zero; echo last"
    with path.open("ab") as log, path.open("rb") as written:
        written.seek(log.tell())
        with subprocess.Popen(["sh", "-c", script], stdout=log) as process:
            assert follow_log(process, written, seen.append, every_seconds=0.05)
    assert b"".join(seen) == b"one\n" + bytes(3_000_000) + b"last\n"
    assert seen.count(b"one\n") == 1 and max(map(len, seen)) <= 1024 * 1024


def test_a_program_that_continues_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    with path.open("rb") as written, subprocess.Popen(["sleep", "60"]) as process:
        assert not follow_log(process, written, lambda _written: None, every_seconds=0.05, seconds=0.2)
        process.kill()
