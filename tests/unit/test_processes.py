"""What /proc shows of other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.processes import (
    find_processes,
    mount_points,
    other_processes,
    start_ticks,
    started_at,
    taken_by_children,
)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Its name has what stands between fields of /proc/PID/stat."""
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/usr/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():  # for a moment after exec
            time.sleep(0.01)
        yield process
        process.kill()


def test_a_process_is_found_by_what_it_is(sleeper: subprocess.Popen[bytes]) -> None:
    (found,) = find_processes(lambda process: process.name == str(sleeper.pid))
    assert (found.pid, found.program, found.argv[1:]) == (sleeper.pid, "a) S 1 (b", ("60",))
    assert str(found) == f"a) S 1 (b (pid {sleeper.pid})"


def test_this_process_is_left_out() -> None:
    assert str(os.getpid()) not in {process.name for process in other_processes()}


def test_what_cannot_be_looked_at_is_passed_over() -> None:
    def refuse(_process: object) -> bool:
        raise PermissionError

    assert find_processes(refuse) == ()


def test_the_start_distinguishes_processes_of_one_number(sleeper: subprocess.Popen[bytes]) -> None:
    assert start_ticks(os.getpid()) <= start_ticks(sleeper.pid) == start_ticks(sleeper.pid)
    assert abs(started_at(sleeper.pid) - time.time()) < 60


def test_a_process_that_is_dead_has_no_start(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, and not asked for: a zombie
    with pytest.raises(ProcessLookupError):
        start_ticks(sleeper.pid)
    sleeper.wait()
    with pytest.raises(OSError):
        start_ticks(sleeper.pid)
    assert started_at(sleeper.pid) == 0.0


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    program = tmp_path / os.fsdecode(b"caf\xe9")
    program.symlink_to("/usr/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.01)
        assert start_ticks(process.pid) > 0
        process.kill()


def test_children_are_counted_with_theirs() -> None:
    script = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)"
    before = taken_by_children(os.getpid())
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            count, memory_bytes = taken_by_children(os.getpid())
            assert count == before[0] + 2 and memory_bytes > before[1]
            assert taken_by_children(process.pid)[0] == 1
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_mount_points_are_those_of_this_process() -> None:
    assert {Path("/"), Path("/proc")} <= set(mount_points())
