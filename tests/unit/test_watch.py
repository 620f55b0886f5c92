"""How phases wait: limits, measured guests, evidence, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pytest

from iecpod.design.pace import Pace
from iecpod.errors import (
    CommandFailed,
    GuestStopped,
    HostError,
    IecpodError,
    Interrupted,
    NodeErrors,
    NodeUnreachable,
    WaitTimeout,
)
from iecpod.phases.clean_up import cleaned_up
from iecpod.phases.console import console_lines, console_tail, last_line
from iecpod.results import Failure, NodeResult
from iecpod.wait import NotYet
from iecpod.watch import Watch
from iecpod.workflow import PhaseFailed, run_phases
from tests.fakes import FakeClock, RecordingReporter, fake_watch
from tests.unit.broken_pod import ROOT

CONSOLE = "".join(f"\x1b[1;31mline {number}\x1b[0m\r\n" for number in range(40))
GO_ON = "resume with `iecpod deploy -l local -p virtual1`"


def never() -> None:
    raise NotYet("still booting")


def expire(watch: Watch, seconds: float = 10, **options: str) -> WaitTimeout:
    with pytest.raises(WaitTimeout) as caught:
        watch.wait_for("SSH", never, seconds=seconds, **options)  # type: ignore[arg-type]
    return caught.value


def test_a_wait_that_expires_says_what_was_awaited_and_seen_and_what_to_run() -> None:
    error = expire(fake_watch(console=CONSOLE), node="iec02", remedy="switch it on")
    assert error.cause == "iec02: SSH: not within 10 s; last seen: still booting"
    assert error.evidence.splitlines() == [
        "console of iec02, its last lines:",
        *(f"    line {number}" for number in range(25, 40)),
    ]
    assert error.remedy == (
        f"switch it on; look at the guest with `iecpod console -l local -p virtual1 iec02`; {GO_ON}"
    )
    assert int(error.exit_code) == 5


def test_a_wait_for_the_cluster_shows_a_console_too() -> None:
    error = expire(fake_watch(console=CONSOLE), console_of="iec01")
    assert error.cause.startswith("SSH: not within") and error.evidence.startswith("console of iec01")


def test_a_machine_without_a_console_is_logged_in_to() -> None:
    watch = fake_watch(console=None)
    error = expire(watch, node="iec02", remedy="see why")
    watch.explain(error, "iec02")  # as the phase's node does, after the wait
    assert error.evidence == ""
    assert error.remedy == (
        f"see why; log in with `iecpod ssh -l local -p virtual1 iec02`, or at the machine itself; {GO_ON}"
    )


def test_what_waits_see_is_told_as_it_is_seen() -> None:
    reporter = RecordingReporter()
    expire(fake_watch(reporter=reporter), seconds=2, node="iec01")
    assert reporter.waits == [("iec01", "SSH", "still booting")] * 3


def test_a_wait_ends_when_any_virtual_machine_of_the_pod_does() -> None:
    reporter = RecordingReporter()
    watch = fake_watch(console=CONSOLE, reporter=reporter, find_stopped=lambda: ("iec02",) if reporter.waits else ())
    with pytest.raises(GuestStopped) as caught:
        watch.wait_for("the join", never, seconds=1000, node="iec03")
    assert len(reporter.waits) == 1
    error = caught.value
    assert error.cause == "iec02: its virtual machine does not run any more: it was switched off, or it ended"
    assert error.evidence.startswith("console of iec02") and error.remedy.endswith(GO_ON)
    assert int(error.exit_code) == 1


def test_what_ended_is_told_once_though_every_node_waited_for_it() -> None:
    watch = fake_watch(console=CONSOLE, find_stopped=lambda: ("iec01",))
    with pytest.raises(NodeErrors) as caught:
        watch.on_nodes(("iec02", "iec03"), lambda node: watch.wait_for("a join", never, seconds=9, node=node))
    assert (caught.value.cause.count("iec01"), caught.value.evidence.count("console of iec01")) == (1, 1)


def test_consoles_are_read_without_what_paints_them() -> None:
    text = "\x1b[2J\x1b[01;01HBdsDxe: \x1b[0mloading\r\n\x1b]0;title\x07\x1b(B[  OK  ]\x00 sshd\r\n\r\n50%\r100%"
    assert console_lines(text) == ["BdsDxe: loading", "[  OK  ]  sshd", "100%"]
    assert (last_line(text), last_line("")) == ("100%", "")
    assert console_tail("iec01", "\x1b[2J\r\n") == "console of iec01: nothing was printed"


def test_deadlines_are_scaled_by_the_slowest_guest_measured() -> None:
    reporter = RecordingReporter()
    watch = fake_watch(Pace(8.0, low_overhead=True), reporter=reporter)
    assert watch.seconds(100) == 800
    watch.measured_boot("iec01", 150)
    assert watch.seconds(100) == 800 and reporter.lines == []
    for node, seconds in (("iec02", 400), ("iec03", 300)):
        watch.measured_boot(node, seconds)
    assert watch.seconds(100) == 1600
    assert reporter.lines == ["iec02: took 400 s to boot: deadlines are 16.0 times KVM's"]


def test_a_console_that_moves_gets_a_wait_more_time() -> None:
    clock = FakeClock()
    moving = fake_watch(clock=clock, console=lambda _node: f"line {clock.now()}")
    assert "not within 200 s" in expire(moving, seconds=100, node="iec01").cause
    assert "not within 100 s" in expire(fake_watch(console="dead"), seconds=100, node="iec01").cause


def test_time_that_a_person_gave_a_phase_is_for_all_of_its_waits_and_holds_as_given() -> None:
    clock = FakeClock()
    watch = fake_watch(
        Pace(8.0, low_overhead=True), clock=clock, limits={"reachable": 50}, console=lambda _node: f"line {clock.now()}"
    )
    watch.begin("reachable")
    assert "not within 50 s" in expire(watch, seconds=100, node="iec01").cause
    assert "not within 1 s" in expire(watch, seconds=100, node="iec01").cause
    watch.begin("workers")
    assert watch.seconds(100) == 800 and watch.most_seconds(100) == 1600


def test_what_nodes_take_is_kept_and_told() -> None:
    clock, reporter = FakeClock(), RecordingReporter()
    watch = fake_watch(clock=clock, reporter=reporter, console=CONSOLE)
    unreachable = NodeUnreachable("iec02", "no route", "switch it on")

    def work(hostname: str) -> str:
        if hostname == "iec02":
            raise unreachable
        return hostname.upper()

    assert watch.on_nodes(("iec01",), work) == {"iec01": "IEC01"}
    with pytest.raises(NodeUnreachable):
        watch.on_nodes(("iec02",), work)
    assert watch.node_results == (
        NodeResult("iec01", "done", 0.0),
        NodeResult("iec02", "failed", 0.0, Failure.of(unreachable)),
    )
    assert unreachable.evidence.endswith("    line 39") and unreachable.remedy.endswith(GO_ON)
    assert reporter.nodes == [("iec01", "started"), ("iec01", "done"), ("iec02", "started"), ("iec02", "failed")]
    watch.begin("next")
    assert not watch.node_results


def test_every_console_is_shown_where_several_nodes_fail() -> None:
    def work(hostname: str) -> None:
        raise WaitTimeout(hostname, 1, "")

    with pytest.raises(NodeErrors) as caught:
        fake_watch(console="panic").on_nodes(("iec01", "iec02"), work)
    assert caught.value.evidence.splitlines()[::2] == [
        "console of iec01, its last lines:",
        "console of iec02, its last lines:",
    ]
    assert int(caught.value.exit_code) == 5
    caught.value.hide(lambda text: text.replace("panic", "(secret)"))
    assert "panic" not in caught.value.evidence


def test_a_command_that_failed_is_not_explained_by_a_console() -> None:
    error = CommandFailed("iec01", ["kubeadm"], 1, "no")
    fake_watch(console="x").explain(error, "iec01")
    assert (error.evidence, error.remedy) == ("", "")


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
        run_phases([Step(work)], fake_watch())
    assert caught.value.results[0].failure == Failure.of(caught.value.error)
    return caught.value.error


def test_a_signal_says_in_which_phase_and_how_to_go_on() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt("SIGTERM")

    error = failure_of(interrupted)
    assert isinstance(error, Interrupted) and isinstance(error, KeyboardInterrupt)
    assert error.cause == "interrupted in phase workers"
    assert error.remedy == (
        "`iecpod deploy -l local -p virtual1` resumes, `iecpod teardown -l local -p virtual1` removes what is there"
    )


def test_any_timeout_of_a_phase_says_how_to_go_on() -> None:
    def slow() -> None:
        raise WaitTimeout("iec01: `kubectl`", 300, "")

    error = failure_of(slow)
    assert isinstance(error, IecpodError) and error.remedy == GO_ON


#: SIGINT is ignored by what a shell without job control runs in the background, and so by its children: set it right.
_HANGING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import iecpod.__main__ as program
from tests.fakes import fake_watch
from tests.unit.test_watch import Step
from iecpod.workflow import PhaseFailed, run_phases

def hang(_hostname):
    print("hanging", flush=True)
    time.sleep(120)

def deploy(**_arguments):
    watch = fake_watch()
    try:
        run_phases([Step(lambda: watch.on_nodes(("iec01",), hang))], watch)
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
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - start < 20
    assert told == (
        "iecpod: interrupted in phase workers: `iecpod deploy -l local -p virtual1` resumes, "
        "`iecpod teardown -l local -p virtual1` removes what is there\n"
    )


@pytest.mark.parametrize("error", [None, HostError("no"), KeyboardInterrupt()])
def test_what_a_phase_cleans_up_gets_little_time_after_a_signal(error: BaseException | None) -> None:
    given: list[float] = []
    with pytest.raises(type(error)) if error else nullcontext(), cleaned_up(given.append):
        if error:
            raise error
    assert given == [20.0 if isinstance(error, KeyboardInterrupt) else 300.0]


@pytest.mark.parametrize("error", [NodeUnreachable("iec01", "off"), KeyboardInterrupt()])
def test_a_clean_up_that_fails_does_not_hide_why(error: BaseException) -> None:
    def clean(_seconds: float) -> None:
        raise WaitTimeout("kubectl", 20, "")

    with pytest.raises(type(error)), cleaned_up(clean):
        raise error
    with pytest.raises(WaitTimeout), cleaned_up(clean):
        pass


def test_a_command_of_many_lines_is_told_by_its_first() -> None:
    error = CommandFailed("iec01", ["sh", "-ec", "export A=1\napt-get update"], 100, "E: no\n")
    assert error.cause == "iec01: `sh -ec export A=1…` exited with 100\nE: no"
