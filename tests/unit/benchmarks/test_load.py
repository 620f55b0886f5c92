"""benchmarks/load: what it prints, and that it says what it lacks."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "load"


def test_steps_are_compared_with_those_of_the_quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    to_table = runpy.run_path(str(SCRIPT))["to_table"]
    measured = {"quiet": {"deploy": 600.0}, "busy": {"deploy": 1500.0}, "idle": {"local-virtual1-iec01": 0.84}}
    assert to_table(measured).splitlines() == [
        "seconds                     quiet     busy  ratio",
        "deploy                      600.0   1500.0   2.50",
        "cores, idle",
        "local-virtual1-iec01         0.84",
    ]


def test_without_stress_ng_nothing_is_deployed(tmp_path: Path) -> None:
    environ = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, SCRIPT], env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "benchmark: stress-ng is not installed\n")
