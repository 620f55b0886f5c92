"""Programs that run for long: how they are asked to end, and that none is left when whoever started them is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iecpod.adapters.long_program import run_long_program
from iecpod.errors import HostError
from iecpod.ports import LongProgram, ProgramEnd
from tests.eventually import eventually

#: Cleans up when it is interrupted, as tests do.
_POLITE = 'trap "echo cleaned; exit 0" INT; echo started; while :; do sleep 0.1; done'
#: Does not hear; what it has started neither.
_DEAF = 'trap "" INT; sleep 1000 & echo started $!; while :; do sleep 0.1; done'


def run(tmp_path: Path, script: str, seconds: float = 30.0, grace_seconds: float = 10.0) -> tuple[ProgramEnd, str]:
    """how it ended, and what was seen of it."""
    seen: list[bytes] = []
    program = LongProgram(
        argv=["sh", "-c", script],
        environment={"NAME": "value"},
        directory=tmp_path,
        log_path=tmp_path / "log",
        seconds=seconds,
        grace_seconds=grace_seconds,
    )
    end = run_long_program(program, seen.append)
    assert b"".join(seen) == (tmp_path / "log").read_bytes()
    return end, b"".join(seen).decode()


def test_it_has_a_clean_environment_and_its_output_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/of/the/caller")
    end, seen = run(tmp_path, 'echo "$NAME"; pwd; echo "$KUBECONFIG" >&2; exit 3')
    assert (end, seen) == (ProgramEnd.ENDED, f"value\n{tmp_path}\n\n")


def test_time_that_is_up(tmp_path: Path) -> None:
    assert run(tmp_path, _POLITE, seconds=1.0) == (ProgramEnd.TIMED_OUT, "started\ncleaned\n")


def test_what_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    end, seen = run(tmp_path, _DEAF, seconds=1.0, grace_seconds=0.5)
    assert end is ProgramEnd.TIMED_OUT
    assert eventually(lambda: has_ended(int(seen.split()[1])))


def test_a_program_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iecpod.adapters.long_program._ENDS_WITH_US", ("/nonexistent/setpriv",))
    with pytest.raises(HostError) as caught:
        run(tmp_path, "true")
    assert "cannot be started" in caught.value.cause


def has_ended(pid: int) -> bool:
    """Also a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


_STARTER = """
import signal, sys
from pathlib import Path
from iecpod.adapters.long_program import run_long_program
from iecpod.ports import LongProgram
program = LongProgram(argv=["sh", "-c", sys.argv[2]], environment={}, directory=Path(sys.argv[1]),
                      log_path=Path(sys.argv[1], "log"), seconds=60.0, grace_seconds=10.0)
with Path(sys.argv[1], "seen").open("wb", buffering=0) as seen:
    print(run_long_program(program, seen.write).value)
"""


def start(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    """A process of ours that has seen its program begin."""
    argv = [sys.executable, "-c", _STARTER, str(tmp_path), script]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    assert eventually(lambda: "started" in read(tmp_path / "seen"))
    return process


def read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def test_a_signal_reaches_it_once(tmp_path: Path) -> None:
    process = start(tmp_path, _POLITE)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"
    assert (tmp_path / "log").read_text() == "started\ncleaned\n"


def test_a_second_signal_waits_for_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, _DEAF)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) != 0
    child = int((tmp_path / "log").read_text().split()[1])
    assert eventually(lambda: has_ended(child))


@pytest.mark.skipif(os.geteuid() != 0, reason="as it is used")
def test_it_cleans_up_when_we_are_killed(tmp_path: Path) -> None:
    process = start(tmp_path, _POLITE)
    process.kill()
    process.wait()
    assert eventually(lambda: "cleaned" in read(tmp_path / "log"))
