"""What nodes do around the instant of a checkpoint: their scripts, run here with processes and an RTC of the test."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iecpod.deploy.node.guest_instant import (
    CLEAR_MEMORY,
    INSTANT,
    LOOK,
    PREPARE,
    SETTLE,
    ClockPhase,
    prepare_nodes,
    settle_nodes,
)
from iecpod.errors import NodeError
from tests.fakes import FakeShell, RecordingReporter

#: Not those of a cluster that may run on this machine, nor of tests beside these: the script looks at all processes.
KUBELET, CONTROLLER = f"let-{os.getpid()}", f"control-{os.getpid()}"
#: The process of sshd in which a node was prepared: it runs as long as these tests.
SAVER = str(os.getpid())


@dataclass
class Node:
    """A directory with an RTC that runs, a `date` that notes what it was set to, and two processes.

    The RTC is `ahead` of this machine's clock, in seconds.
    """

    directory: Path
    processes: dict[str, subprocess.Popen[bytes]]
    ahead: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def run_rtc(self) -> None:
        while not self.ended.wait(0.05):
            self.write_rtc()

    def write_rtc(self) -> None:
        (self.directory / "rtc.new").write_text(f"{int(time.time()) + self.ahead}\n")
        (self.directory / "rtc.new").rename(self.directory / "rtc")

    def script(self, text: str) -> str:
        for old, new in (
            ("/sys/class/rtc/rtc0/since_epoch", f"{self.directory}/rtc"),
            ("/run/iecpod-instant.over", f"{self.directory}/over"),
            ("kubelet kube-controller kube-scheduler", f"{KUBELET} {CONTROLLER}"),
            ("CONT kubelet", f"CONT {KUBELET}"),
            ("KILL kube-controller\n", f"KILL {CONTROLLER}\n"),
            ("kube-controller kube-scheduler", CONTROLLER),
            ("sleep 15", "sleep 2"),
            ("/proc/net/vlan/config", f"{self.directory}/vlans"),
            ("/sys/class/net/", f"{self.directory}/nics/"),
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
        return log.read_text().splitlines() if log.exists() else []

    @property
    def moved(self) -> int:
        """By how many seconds the clock was moved."""
        (date,) = self.date_set
        assert re.fullmatch("-?[0-9]+ seconds", date)
        return int(date.split()[0])

    def state(self, name: str) -> str:
        return Path(f"/proc/{self.processes[name].pid}/stat").read_text().rpartition(")")[2].split()[0]

    def wait_for(self, name: str, state: str) -> None:
        deadline = time.monotonic() + 30
        while self.state(name) != state:
            assert time.monotonic() < deadline, f"{name} is {self.state(name)}"
            time.sleep(0.02)

    def wait_until_over(self) -> None:
        deadline = time.monotonic() + 30
        while not (self.directory / "over").exists():
            assert time.monotonic() < deadline
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
    made.write_rtc()
    rtc = threading.Thread(target=made.run_rtc)
    rtc.start()
    yield made
    made.ended.set()
    rtc.join()
    for process in processes.values():
        process.kill()
        process.wait()


def test_nics_with_tagged_networks_take_all_frames(node: Node) -> None:
    """Whatever has their names in the first lines of the kernel's table is no NIC."""
    vlans = "VLAN Dev name\t | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\nenp2s0.15      | 15  | enp2s0\n"
    (node.directory / "vlans").write_text(vlans)
    (node.directory / "nics/enp2s0").mkdir(parents=True)
    ip = node.directory / "bin/ip"
    ip.write_text(f'#!/bin/sh\necho "$*" >> {node.directory}/links\n')
    ip.chmod(0o755)
    script = node.start(INSTANT, SAVER)
    node.wait_for(KUBELET, "T")
    (node.directory / "over").touch()
    assert script.wait(timeout=30) == 0
    assert (node.directory / "links").read_text() == "link set dev enp2s0 promisc on\n"


def test_a_kubelet_stands_still_until_its_clock_was_stepped(node: Node) -> None:
    script = node.start(INSTANT, SAVER)
    node.wait_for(KUBELET, "T")
    node.wait_for(CONTROLLER, "T")
    time.sleep(1)
    assert node.date_set == [] and node.state(KUBELET) == "T"
    node.ahead = 40 * 86_400
    node.wait_for(KUBELET, "S")
    assert abs(node.moved - node.ahead) <= 2
    assert node.state(CONTROLLER) == "T", "kubelets come first"
    node.wait_until_over()
    assert script.wait(20) == 0
    node.wait_for(CONTROLLER, "Z")


def test_a_clock_that_differs_from_the_rtc_keeps_its_difference(node: Node) -> None:
    node.ahead = -3600
    node.write_rtc()
    script = node.start(INSTANT, SAVER)
    node.wait_for(KUBELET, "T")
    time.sleep(0.5)
    node.ahead += 100
    assert script.wait(20) == 0
    assert abs(node.moved - 100) <= 2
    node.wait_for(CONTROLLER, "S")


def test_a_node_that_was_not_paused_continues_when_it_is_settled(node: Node) -> None:
    script = node.start(INSTANT, SAVER)
    node.wait_for(KUBELET, "T")
    assert node.start(LOOK).wait(20) == 1, "it stands still yet"
    assert node.start(SETTLE, "0").wait(20) == 0
    assert script.wait(20) == 0
    node.wait_for(KUBELET, "S")
    assert node.date_set == []
    looked = node.start(LOOK)
    assert abs(float(looked.communicate(timeout=20)[0]) - time.time()) < 10 and looked.returncode == 0


def test_a_node_whose_saver_was_killed_continues_at_once(node: Node) -> None:
    saver = subprocess.Popen(["/bin/sleep", "120"])
    script = node.start(INSTANT, str(saver.pid))
    node.wait_for(KUBELET, "T")
    saver.kill()
    saver.wait()
    node.wait_for(KUBELET, "S")
    node.wait_for(CONTROLLER, "S")
    assert script.wait(20) == 0 and node.date_set == []


def test_a_restored_node_whose_saver_has_ended_steps_its_clock(node: Node) -> None:
    """The connection of another day breaks as soon as the node runs: the script stops here for both at once."""
    saver = subprocess.Popen(["/bin/sleep", "120"])
    script = node.start(INSTANT, str(saver.pid))
    node.wait_for(KUBELET, "T")
    script.send_signal(signal.SIGSTOP)
    saver.kill()
    saver.wait()
    node.ahead = 40 * 86_400
    node.write_rtc()
    script.send_signal(signal.SIGCONT)
    node.wait_for(KUBELET, "S")
    assert abs(node.moved - node.ahead) <= 2
    assert script.wait(20) == 0


def test_a_save_stops_the_controller_manager_no_longer_than_the_kubelet(node: Node) -> None:
    script = node.start(INSTANT, SAVER)
    node.wait_for(KUBELET, "T")
    node.ahead = 5
    node.wait_until_over()
    assert script.wait(1) == 0
    assert node.state(CONTROLLER) == "S"


def test_a_node_is_prepared_as_long_as_its_connection_stands(tmp_path: Path) -> None:
    """The script is started below a process that has sshd's name, as on Debian 13."""
    sshd = tmp_path / "sshd-session"
    shutil.copy("/bin/dash", sshd)
    for name in ("systemctl", "choom"):
        (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / "systemd-run").write_text('#!/bin/sh\necho "$@"\n')
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    script = PREPARE.replace("/run/", f"{tmp_path}/")
    below = ["sh", "-c", 'sh -c "$@"; true', "sudo", script, "prepare", INSTANT, CLEAR_MEMORY]
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [str(sshd), "-c", '"$@"; true', "sshd", *below], env=environ, stdout=subprocess.PIPE, text=True
    )
    printed = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert printed.split()[-2:] == [f"{tmp_path}/iecpod-instant.sh", str(process.pid)]
    nowhere = [*below[:4], script.replace("#sshd}", "#nowhere}"), *below[5:]]
    refused = subprocess.run(nowhere, env=environ, capture_output=True, text=True, timeout=30)
    assert "no sshd" in refused.stderr and refused.stdout == ""


def test_a_clock_is_moved_by_what_it_is_behind(node: Node) -> None:
    assert node.start(SETTLE, "-86400").wait(20) == 0
    assert node.moved == -86_400


def test_a_node_that_cannot_be_prepared_is_saved_as_it_is() -> None:
    reporter = RecordingReporter()
    shells = {"iec01": FakeShell("iec01").on("sh", "-c", returncode=1, stderr="no systemd")}
    prepare_nodes(shells, reporter)
    (line,) = reporter.lines
    assert line.startswith("warning: iec01 is saved unprepared") and "no systemd" in line


class _Time:
    """Of the host; each question takes some seconds."""

    def __init__(self, seconds: float, each: float) -> None:
        self._seconds, self._each = seconds, each

    def __call__(self) -> float:
        self._seconds += self._each
        return self._seconds


def test_clocks_are_moved_and_looked_at_again() -> None:
    shell = FakeShell("iec01").on("sh", "-c", LOOK, stdout="996400.000000000\n", returncode=1)
    shell.on("sh", "-c", LOOK, stdout="996400.000000000\n", returncode=1).on("sh", "-c", SETTLE)
    shell.on("sh", "-c", LOOK, stdout="999996.400000000\n").on("sh", "-c", LOOK, stdout="1000000.900000000\n")
    reporter = RecordingReporter()
    phase = ClockPhase({"iec01": shell}, reporter, lambda: 1_000_000.4)
    assert phase.probe() is None
    phase.run()
    settled = [call[-1] for call in shell.calls if SETTLE in call]
    assert settled == ["3600", "4", "0"], "until it is right"
    assert phase.probe() == "1 within 2 s of the host's"
    assert any("its clock was moved by 3604 s" in line for line in reporter.lines)


def test_a_slow_answer_makes_no_clock_wrong() -> None:
    """An emulated guest may take ten seconds for it: then no better time is known."""
    shell = FakeShell("iec01").on("sh", "-c", LOOK, stdout="1000012.000000000\n").on("sh", "-c", SETTLE)
    assert ClockPhase({"iec01": shell}, RecordingReporter(), _Time(1_000_000, 10)).probe() is not None
    assert settle_nodes({"iec01": shell}, _Time(1_000_000, 10)) == {"iec01": 0}


@pytest.mark.parametrize("answer", ["soon\n", "", "1e9", "1" * 30 + ".000000000"])
def test_a_clock_that_is_none_is_refused(answer: str) -> None:
    with pytest.raises(NodeError, match="cannot be read"):
        settle_nodes({"iec01": FakeShell("iec01").on("sh", "-c", stdout=answer)})
