"""Commands of dpkg and apt on a node where another process has their locks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iecpod.render.package_locks import UNTIL_UNLOCKED, WAITING_DPKG

_LOCKED = "E: dpkg frontend lock was locked by another process with pid 4711"
_APT = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 4711 (apt-get)"

#: Fails as `$1` for as many calls as `$2` says, then prints its own arguments.
_PROGRAM = """#!/bin/sh
calls=$(cat "$0.calls" 2> /dev/null || echo 0)
echo $((calls + 1)) > "$0.calls"
test "$calls" -ge "$2" && echo "done $*" && exit
echo "$1" >&2
exit 100
"""


def run(directory: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """No sleep takes any time."""
    program = directory / "dpkg"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    argv = ["sh", "-euc", f"sleep() {{ :; }}\n{script}", "locks", *arguments]
    environ = {"PATH": f"{directory}:/usr/bin:/bin"}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("said", [_LOCKED, _APT])
def test_a_lock_is_waited_for(tmp_path: Path, said: str) -> None:
    done = run(tmp_path, UNTIL_UNLOCKED + 'until_unlocked dpkg "$1" "$2"; echo after', said, "3")
    assert (done.returncode, done.stdout) == (0, f"done {said} 3\nafter\n")
    assert done.stderr == f"{said}\n" * 3, "the log says what it waited for"


def test_a_lock_is_not_waited_for_without_end(tmp_path: Path) -> None:
    done = run(tmp_path, UNTIL_UNLOCKED + 'until_unlocked dpkg "$1" "$2"; echo after', _LOCKED, "9999")
    assert (done.returncode, done.stdout) == (100, "") and done.stderr.count(_LOCKED) == 91


def test_another_error_ends_it_at_once(tmp_path: Path) -> None:
    done = run(tmp_path, UNTIL_UNLOCKED + 'until_unlocked dpkg "$1" "$2"; echo after', "E: no such package", "5")
    assert (done.returncode, done.stdout, done.stderr) == (100, "", "E: no such package\n")


def test_dpkg_waits_under_its_own_name(tmp_path: Path) -> None:
    done = run(tmp_path, WAITING_DPKG + 'dpkg "$1" "$2"', _LOCKED, "2")
    assert (done.returncode, done.stdout) == (0, f"done {_LOCKED} 2\n")
