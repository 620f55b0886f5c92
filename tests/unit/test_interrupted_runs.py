"""Runs that a signal or a timeout ends: what they say, and how soon they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from iecpod.deploy.workflow import PhaseFailed, run_phases
from iecpod.errors import (
    IecpodError,
    Interrupted,
    WaitTimeout,
)
from iecpod.results import Failure
from tests.fakes import fake_phase_tools
from tests.unit.descriptors.broken_pod import ROOT

GO_ON = "resume with `iecpod deploy -l local -p virtual1`"


@dataclass
class Step:
    work: Callable[[], object]
    name: str = "workers"
    summary: str = "a step"

    def probe(self) -> None:
        return None

    def run(self) -> None:
        self.work()


def failure_of(work: Callable[[], object]) -> BaseException:
    with pytest.raises(PhaseFailed) as caught:
        run_phases([Step(work)], fake_phase_tools())
    assert caught.value.results[0].failure == Failure.of(caught.value.error)
    return caught.value.error


def test_a_signal_says_in_which_phase_and_how_to_continue() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt("SIGTERM")

    error = failure_of(interrupted)
    assert isinstance(error, Interrupted) and isinstance(error, KeyboardInterrupt)
    assert error.cause == "interrupted in phase workers"
    assert error.remedy == (
        "`iecpod deploy -l local -p virtual1` resumes, `iecpod teardown -l local -p virtual1` removes what is there"
    )


def test_any_timeout_of_a_phase_says_how_to_continue() -> None:
    def slow() -> None:
        raise WaitTimeout("iec01: `kubectl`", 300, "")

    error = failure_of(slow)
    assert isinstance(error, IecpodError) and error.remedy == GO_ON


#: SIGINT is ignored by what a shell without job control runs in the background, and so by its children: set it right.
_HANGING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import iecpod.__main__ as program
from tests.fakes import fake_phase_tools
from tests.unit.test_interrupted_runs import Step
from iecpod.deploy.workflow import PhaseFailed, run_phases

def hang(_hostname):
    print("hanging", flush=True)
    time.sleep(120)

def deploy(**_arguments):
    tools = fake_phase_tools()
    try:
        run_phases([Step(lambda: tools.node_times.on_nodes(("iec01",), hang))], tools)
    except PhaseFailed as failed:
        raise failed.error from None

program.command_line.cli.main = deploy
sys.exit(program.main())
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_at_once_whatever_its_nodes_are_at(signum: int, tmp_path: object) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _HANGING],
        cwd=ROOT,
        env={**os.environ, "IECPOD_STATE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "hanging\n"
    start = time.monotonic()
    process.send_signal(signum)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - start < 20
    assert shown == (
        "iecpod: interrupted in phase workers: `iecpod deploy -l local -p virtual1` resumes, "
        "`iecpod teardown -l local -p virtual1` removes what is there\n"
    )
