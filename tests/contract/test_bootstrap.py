"""bootstrap.sh where it has to give up: it says why and what to do, and changes nothing.

That it works is shown by every run of CI, which begins with it. `dpkg-query` is a script that tells what a machine has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture
def machine() -> Iterator[Path]:
    """A checkout that every user can read, and a `bin` that comes first in PATH."""
    directory = Path(tempfile.mkdtemp(prefix="iecpod-bootstrap-"))
    directory.chmod(0o755)
    for name in ("bootstrap.sh", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    (directory / "bin").mkdir()
    yield directory
    shutil.rmtree(directory)


def has_packages(machine: Path, *, all_of_them: bool) -> None:
    answer = 'shift 2; for package; do printf "ii %s " "$package"; done' if all_of_them else "exit 1"
    (machine / "bin" / "dpkg-query").write_text(f"#!/bin/sh\n{answer}\n")
    (machine / "bin" / "dpkg-query").chmod(0o755)


def run(machine: Path, *command: str, user: int | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(machine / "bootstrap.sh"), *command],
        env={"PATH": f"{machine}/bin:{os.environ['PATH']}", **environ},
        user=user,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_packages_are_missing_and_the_user_is_not_root(machine: Path) -> None:
    has_packages(machine, all_of_them=False)
    done = run(machine, "iecpod", "plan", user=NOBODY)
    assert done.returncode == 1
    assert "only root can install them" in done.stderr
    assert "qemu-system-arm" in done.stderr
    assert f"{machine}/bootstrap.sh iecpod plan" in done.stderr.splitlines()[-1]
    assert not (machine / ".venv").exists()


def test_python_is_too_old(machine: Path) -> None:
    has_packages(machine, all_of_them=True)
    done = run(machine, "true", IECPOD_PYTHON="/bin/false")
    assert done.returncode == 1
    assert "/bin/false is not Python 3.10 or later" in done.stderr
    assert "IECPOD_PYTHON" in done.stderr
    assert not (machine / ".venv").exists()


def test_the_environment_cannot_be_made(machine: Path) -> None:
    has_packages(machine, all_of_them=True)
    (machine / "file").write_text("")
    done = run(machine, "true", IECPOD_VENV=str(machine / "file" / "venv"))
    assert done.returncode == 1
    assert "could not be made" in done.stderr
    assert "IECPOD_VENV" in done.stderr
