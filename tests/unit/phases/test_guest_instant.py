"""What nodes do around the instant of a checkpoint: their scripts, run here with processes and an RTC of the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iecpod.errors import NodeError
from iecpod.phases.guest_instant import INSTANT, LOOK, SETTLE, ClockPhase, prepare_nodes, settle_nodes
from tests.fakes import FakeShell, RecordingReporter

#: Not those of a cluster that may run on this machine.
KUBELET, CONTROLLER = "iecpod-let", "iecpod-control"


@dataclass
class Node:
    """A directory with an RTC, a `date` that notes what it was set to, and two processes."""

    directory: Path
    processes: dict[str, subprocess.Popen[bytes]]

    def set_rtc(self, seconds_ahead: int) -> None:
        (self.directory / "rtc.new").write_text(f"{int(time.time()) + seconds_ahead}\n")
        (self.directory / "rtc.new").rename(self.directory / "rtc")

    def script(self, text: str) -> str:
        for old, new in (
            ("/sys/class/rtc/rtc0/since_epoch", f"{self.directory}/rtc"),
            ("/run/iecpod-instant.over", f"{self.directory}/over"),
            ("kubelet kube-controller kube-scheduler", f"{KUBELET} {CONTROLLER}"),
            ("CONT kubelet", f"CONT {KUBELET}"),
            ("kube-controller kube-scheduler", CONTROLLER),
            ("sleep 15", "sleep 2"),
        ):
            text = text.replace(old, new)
        return text

    def start(self, text: str, *arguments: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        argv = ["sh", "-c", self.script(text), "test", *arguments]
        return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def date_set(self) -> list[str]:
        log = self.directory / "set"
        return log.read_text().split() if log.exists() else []

    def state(self, name: str) -> str:
        return Path(f"/proc/{self.processes[name].pid}/stat").read_text().rpartition(")")[2].split()[0]

    def wait_for(self, name: str, state: str) -> None:
        deadline = time.monotonic() + 30
        while self.state(name) != state:
            assert time.monotonic() < deadline, f"{name} is {self.state(name)}"
            time.sleep(0.02)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "bin").mkdir()
    date = tmp_path / "bin/date"
    date.write_text(f'#!/bin/sh\ncase $1 in --set) echo "$2" >> {tmp_path}/set ;; *) exec /bin/date "$@" ;; esac\n')
    date.chmod(0o755)
    processes = {}
    for name in (KUBELET, CONTROLLER):
        shutil.copy("/bin/sleep", tmp_path / "bin" / name)
        processes[name] = subprocess.Popen([str(tmp_path / "bin" / name), "120"])
    made = Node(tmp_path, processes)
    made.set_rtc(0)
    yield made
    for process in processes.values():
        process.kill()
        process.wait()


def test_a_kubelet_stands_still_until_its_clock_was_stepped(node: Node) -> None:
    script = node.start(INSTANT)
    node.wait_for(KUBELET, "T")
    node.wait_for(CONTROLLER, "T")
    assert node.date_set == []
    forty_days = 40 * 86_400
    node.set_rtc(forty_days)
    time.sleep(0.5)
    assert node.state(KUBELET) == "T", "the edge of a second is awaited"
    node.set_rtc(forty_days + 1)
    node.wait_for(KUBELET, "S")
    (date,) = node.date_set
    assert abs(int(date.removeprefix("@")) - time.time() - forty_days) < 5
    assert node.state(CONTROLLER) == "T", "kubelets come first"
    assert script.wait(20) == 0
    node.wait_for(CONTROLLER, "S")


def test_a_clock_that_differs_from_the_rtc_keeps_its_difference(node: Node) -> None:
    node.set_rtc(-3600)
    script = node.start(INSTANT)
    node.wait_for(KUBELET, "T")
    node.set_rtc(-3600 + 100)
    time.sleep(0.5)
    node.set_rtc(-3600 + 101)
    assert script.wait(20) == 0
    (date,) = node.date_set
    assert abs(int(date.removeprefix("@")) - time.time() - 100) < 5


def test_a_node_that_was_not_paused_goes_on_when_it_is_settled(node: Node) -> None:
    script = node.start(INSTANT)
    node.wait_for(KUBELET, "T")
    settled = node.start(SETTLE, str(int(time.time())))
    assert settled.communicate(timeout=20)[0].strip() in ("0", "-1", "1")
    assert script.wait(20) == 0
    node.wait_for(KUBELET, "S")
    assert node.date_set == []


def test_the_hosts_time_is_what_counts(node: Node) -> None:
    ahead = int(time.time()) + 86_400
    settled = node.start(SETTLE, str(ahead))
    assert abs(int(settled.communicate(timeout=20)[0]) - 86_400) <= 2
    assert node.date_set == [f"@{ahead}"]
    looked = node.start(LOOK, str(ahead))
    assert abs(int(looked.communicate(timeout=20)[0]) - 86_400) <= 2 and looked.returncode == 0


def test_a_node_that_was_not_settled_yet_says_so(node: Node) -> None:
    assert node.start(LOOK, "0").wait(20) == 1


def test_a_node_that_cannot_be_prepared_is_saved_as_it_is() -> None:
    reporter = RecordingReporter()
    shells = {"iec01": FakeShell("iec01").on("sh", "-c", returncode=1, stderr="no systemd")}
    prepare_nodes(shells, reporter)
    (line,) = reporter.lines
    assert line.startswith("warning: iec01 is saved unprepared") and "no systemd" in line


def test_clocks_are_stepped_and_looked_at_again() -> None:
    shell = FakeShell("iec01").on("sh", "-c", LOOK, returncode=1).on("sh", "-c", LOOK, stdout="1\n")
    shell.on("sh", "-c", SETTLE, stdout="3600\n")
    phase = ClockPhase({"iec01": shell}, RecordingReporter(), lambda: 1_000_000.4)
    assert phase.probe() is None
    phase.run()
    assert ("sh", "-c", SETTLE, "clock", "1000000") in shell.calls
    assert phase.probe() == "1 within 2 s of the host's"


def test_a_clock_that_is_none_is_refused() -> None:
    with pytest.raises(NodeError, match="cannot be read"):
        settle_nodes({"iec01": FakeShell("iec01").on("sh", "-c", stdout="soon\n")})
