"""The loops that run on nodes, run by a real shell: systemd and cloud-init are programs and files of the test."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from iecpod.deploy.node.node_poll import look
from iecpod.deploy.node.systemd_job import run_job
from iecpod.deploy.phases.reachable import ReachablePhase
from iecpod.errors import NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult
from iecpod.wait import NotYet
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools

Run = Callable[[Sequence[str], bytes], CommandResult]


@pytest.fixture
def run_here(tmp_path: Path) -> Run:
    """Commands as the node would run them, with programs of `tmp_path`/bin first and /run/cloud-init there, too."""

    def run(argv: Sequence[str], stdin: bytes) -> CommandResult:
        here = [argument.replace("/run/cloud-init", str(tmp_path)) for argument in argv]
        environ = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(here, input=stdin, env=environ, capture_output=True, timeout=60, check=False)
        return CommandResult(done.returncode, done.stdout.decode(), done.stderr.decode())

    (tmp_path / "bin").mkdir()
    return run


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_job_that_runs_on_is_seen_by_the_last_line_of_its_journal(run_here: Run, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "systemctl", 'test "$2" = a.service && echo activating')
    program(tmp_path / "bin" / "journalctl", "echo '[certs] \x1b[1mgenerating'")
    reporter = RecordingReporter()
    shell = FakeShell().reply(("sh", "-c"), run_here)
    with pytest.raises(WaitTimeout) as caught:
        run_job(shell, "a.service", ["x"], seconds=1, tools=fake_phase_tools(reporter=reporter), remedy="")
    assert caught.value.last_seen == "[certs] generating"
    assert reporter.waits[:2] == [("iec01", "a.service", ""), ("iec01", "a.service", "[certs] generating")]


def test_systemd_is_not_asked_while_the_process_of_a_job_is_there(run_here: Run, tmp_path: Path) -> None:
    process = subprocess.Popen(["sleep", "2.5"])
    asked = tmp_path / "asked"
    answers = f"""echo "$@" >> {asked}
case "$*" in
    *MainPID*) echo {process.pid} ;;
    show*) echo Result=success; echo ExecMainStatus=0 ;;
    is-active*) case $(cut -d " " -f 3 /proc/{process.pid}/stat) in S) echo activating ;; *) echo inactive ;; esac ;;
esac"""
    program(tmp_path / "bin" / "systemctl", answers)
    program(tmp_path / "bin" / "systemd-run", ":")
    threading.Thread(target=process.wait).start()
    start = time.monotonic()
    shell = FakeShell().reply(("sh", "-c"), run_here)
    run_job(shell, "a.service", ["x"], seconds=60, tools=fake_phase_tools(), remedy="")
    assert time.monotonic() - start > 1.5
    assert [line.split()[0] for line in asked.read_text().splitlines()].count("is-active") == 3, "START's is one"


def test_a_job_that_ended_is_not_waited_for(run_here: Run, tmp_path: Path) -> None:
    ended = 'case "$1" in show) echo Result=success; echo ExecMainStatus=0 ;; *) echo inactive; exit 3 ;; esac'
    program(tmp_path / "bin" / "systemctl", ended)
    program(tmp_path / "bin" / "systemd-run", ":")
    shell = FakeShell().reply(("sh", "-c"), run_here)
    run_job(shell, "a.service", ["x"], seconds=60, tools=fake_phase_tools(), remedy="")


@pytest.mark.parametrize("error", [NodeUnreachable("iec01", "reset"), WaitTimeout("iec01: `sh`", 180, "")])
def test_a_look_that_is_cut_short_is_no_failure(error: Exception) -> None:
    with pytest.raises(NotYet, match=r"reset|`sh`"):
        look(FakeShell().reply(("sh",), error), "true", most_seconds=60)


def test_a_look_lasts_a_minute_at_most() -> None:
    shell = FakeShell().on("sh")
    for most_seconds in (0.5, 7.9, 1440):
        look(shell, "script", "argument", most_seconds=most_seconds)
    assert [call[4:] for call in shell.calls] == [("1", "argument"), ("7", "argument"), ("60", "argument")]


def test_the_boot_is_measured_by_the_guests_own_clock(run_here: Run, tmp_path: Path) -> None:
    """Where cloud-init ended ten seconds ago, the boot took what the machine is up by now, less ten seconds."""
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"v1": {"errors": []}}))
    ended_at = time.time() - 10
    os.utime(result, (ended_at, ended_at))
    reporter = RecordingReporter()
    shell = FakeShell().on("true").reply(("sh", "-c"), run_here)
    phase = ReachablePhase({"iec01": shell}, fake_phase_tools(console="Linux version 6", reporter=reporter))
    phase.run()
    up_seconds = float(Path("/proc/uptime").read_text().split()[0])
    (shown,) = (line for line in reporter.lines if "to boot" in line)
    assert abs(float(shown.split()[2]) - (up_seconds - 10)) < 5
    assert phase.probe() == "1 nodes answer"
    result.unlink()
    assert phase.probe() is None


def test_cloud_init_at_work_is_seen_by_its_last_words(run_here: Run) -> None:
    shell = FakeShell().on("true").reply(("sh", "-c"), run_here)
    tools = fake_phase_tools(console="Linux version 6", limits={"reachable": 1})
    tools.begin("reachable")
    with pytest.raises(WaitTimeout) as caught:
        ReachablePhase({"iec01": shell}, tools).run()
    assert caught.value.cause.startswith("iec01: the end of cloud-init: not within 1 s; last seen: ")
    assert caught.value.evidence.splitlines()[-1] == "    Linux version 6"
