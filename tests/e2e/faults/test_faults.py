"""Faults on a real embedded libvirtd: signals, a dead daemon, a full disk, two runs at once, two PODs side by side.

Networks and pools are real; what machines there are have nothing on their disks, so all of it takes seconds. The PODs
are those of lab arm under another name, because namespaces are named after PODs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.small_lab import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the embedded hypervisor needs root")

LAB = "faults"
_RELEASE = """\
name: empty
description: a disk with nothing on it
user: debian
image:
  type: file
  location: {{aarch64: {disk}}}
kubernetes_version: 1.20.2
pause_image: k8s.gcr.io/pause:3.2
nginx_image: k8s.gcr.io/nginx:stable
runtime: containerd
cgroup_driver: cgroupfs
cnis: [bridge]
packages: []
"""
_OPTIONS = ("-c", "embedded", "-s", "k8-bridge-iec-noha", "--virt-type", "qemu", "--vcpus", "1", "--memory", "512M")


@dataclass(frozen=True)
class Faulty(Iecpod):
    """A POD whose image is made in no time, with a cache of its own; `state` is a directory below `root`."""

    lab: str = LAB
    state: str = "state"

    @property
    def environ(self) -> dict[str, str]:
        return {
            **super().environ,
            "IECPOD_STATE_DIR": str(self.root / self.state),
            "IECPOD_CACHE_DIR": str(self.root / "cache"),
        }

    @property
    def pod_dir(self) -> Path:
        return self.root / self.state / "pods" / self.lab / self.pod

    @property
    def options(self) -> tuple[str, ...]:
        return ("-b", str(self.root / "base"), "--release", str(self.root / "release.yaml"), *_OPTIONS)

    def deploy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Networks and pool, unless `arguments` name another end."""
        return self.run("deploy", *self.options, "--until", "storage", *arguments, timeout=300)

    def outcomes(self) -> dict[str, str]:
        return {phase["name"]: phase["outcome"] for phase in self.report()["phases"]}

    def active_networks(self) -> set[str]:
        argv = ["virsh", "-c", self.host.uri, "net-list", "--name"]
        return set(subprocess.check_output(argv, text=True).split())

    def check_whole(self) -> None:
        assert self.active_networks() == {f"{LAB}-{self.pod}-{name}" for name in ("admin", "mgmt", "private", "public")}
        assert (self.pod_dir / "pool").is_dir()

    def check_torn_down(self) -> None:
        """Tears down, twice, and looks."""
        self.check("teardown", *self.options[:2], "-c", "embedded")
        assert self.host.leftovers() == () and not self.pod_dir.exists()
        assert "nothing to remove" in self.check("teardown", *self.options[:2], "-c", "embedded")


class Background:
    """A run of its own, with what it says in a file."""

    def __init__(self, command: Faulty, verb: str, *arguments: str) -> None:
        with tempfile.NamedTemporaryFile("w", dir=command.root, suffix=".log", delete=False) as output:
            self._log = Path(output.name)
            self.process = subprocess.Popen(
                command.argv(verb, *arguments),
                env=command.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_until_it_says(self, text: str) -> None:
        deadline = time.monotonic() + 120
        while text not in self.said:
            assert self.process.poll() is None, f"it ended before it said {text!r}:\n{self.said}"
            assert time.monotonic() < deadline, f"it did not say {text!r}:\n{self.said}"
            time.sleep(0.005)

    def end(self) -> int:
        return self.process.wait(timeout=300)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="iecpod-f-"))
    shutil.copytree(ROOT / "pdf/labs/arm", made / "base" / "labs" / LAB)
    disk = made / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1G"], check=True)
    (made / "release.yaml").write_text(_RELEASE.format(disk=disk))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def faulty(root: Path) -> Iterator[Faulty]:
    command = Faulty(root, pod="virtual1")
    yield command
    command.host.stop()
    shutil.rmtree(command.pod_dir, ignore_errors=True)


@pytest.fixture
def disk(root: Path) -> Iterator[Callable[[str], None]]:
    """Sets the size of the file system that ROOT/small is on; 4 GiB (of nothing) at first."""
    small = root / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4G,mode=0700", "tmpfs", str(small)], check=True)

    def resize(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(small)], check=True)

    yield resize
    subprocess.run(["umount", str(small)], check=True)
    small.rmdir()


@pytest.mark.parametrize("phase", ["networks", "domains"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_what_deploy_continues_with_and_teardown_removes(
    faulty: Faulty, phase: str, number: signal.Signals
) -> None:
    for continues in (True, False):
        run = Background(faulty, "deploy", *faulty.options, "--until", "domains")
        run.wait_until_it_says(f"phase {phase}")
        run.process.send_signal(number)
        if number is signal.SIGTERM:
            assert run.end() == 130
            assert f"interrupted in phase {phase}: `iecpod deploy -l faults -p virtual1" in run.said
            assert "iecpod teardown -l faults -p virtual1" in run.said
        else:
            assert run.end() == -signal.SIGKILL
        assert "Traceback" not in run.said
        if continues:
            done = faulty.deploy()
            assert done.returncode == 0, done.stderr
            faulty.check_whole()
            assert faulty.outcomes()["networks"] == ("in place" if phase == "domains" else "done")
        faulty.check_torn_down()


def test_libvirtd_killed_in_a_phase(faulty: Faulty) -> None:
    run = Background(faulty, "deploy", *faulty.options, "--until", "storage")
    run.wait_until_it_says("phase networks")
    run.process.send_signal(signal.SIGSTOP)
    faulty.kill_libvirtd()
    run.process.send_signal(signal.SIGCONT)
    assert run.end() == 1, run.said
    assert "libvirt could not" in run.said and "Traceback" not in run.said
    assert "resume with `iecpod deploy -l faults -p virtual1" in run.said
    assert faulty.report()["outcome"] == "failed"
    done = faulty.deploy()
    assert done.returncode == 0, done.stderr
    faulty.check_whole()
    faulty.check_torn_down()


def test_libvirtd_killed_between_two_runs(faulty: Faulty) -> None:
    assert faulty.deploy().returncode == 0
    faulty.kill_libvirtd()
    done = faulty.deploy()
    assert done.returncode == 0, done.stderr
    assert set(faulty.outcomes().values()) == {"in place"}
    faulty.kill_libvirtd()
    faulty.check_torn_down()


def test_two_deploys_at_once(faulty: Faulty) -> None:
    first = Background(faulty, "deploy", *faulty.options, "--until", "storage")
    first.wait_until_it_says("phase networks")
    first.process.send_signal(signal.SIGSTOP)
    refused = faulty.deploy()
    assert refused.returncode == 4
    assert f"process {first.process.pid} (`" in refused.stderr and "is at work on POD faults/virtual1" in refused.stderr
    assert "--wait-lock" in refused.stderr
    waits = Background(faulty, "deploy", *faulty.options, "--until", "storage", "--wait-lock", "60")
    waits.wait_until_it_says(f"waits for process {first.process.pid}")
    first.process.send_signal(signal.SIGCONT)
    assert (first.end(), waits.end()) == (0, 0), first.said + waits.said
    assert "in place: networks" in waits.said
    faulty.check_whole()


_HOLDER = """
import os, sys
from pathlib import Path
import iecpod
from iecpod.pods.installation import ensure_installation
from iecpod.pods.directory import load_saved, pod_dir_of, save_pod
from iecpod.adapters.pod_lock import pod_lock
from iecpod.layout import find_layout
from iecpod.model import PodRef
from dataclasses import replace
layout = find_layout(os.environ, package_dir=Path(iecpod.__file__).parent, is_root=True)
ref = PodRef(*sys.argv[1:])
with pod_lock(layout, ref, wait_seconds=0):
    print("held", flush=True)
    sys.stdin.readline()
    pod_dir = pod_dir_of(layout, ref)
    saved = load_saved(pod_dir)
    saved = replace(saved, options=replace(saved.options, memory_mib=640))
    save_pod(pod_dir, saved, ensure_installation(layout.state_dir))
"""


def test_who_waited_for_a_run_reads_what_that_run_has_saved(faulty: Faulty) -> None:
    assert faulty.deploy().returncode == 0
    argv = [sys.executable, "-c", _HOLDER, LAB, "virtual1"]
    with subprocess.Popen(argv, env=faulty.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waits = Background(faulty, "deploy", "--until", "storage", "--wait-lock", "60")
        waits.wait_until_it_says("waits for process")
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert waits.end() == 0, waits.said
    assert json.loads((faulty.pod_dir / "deployed.json").read_text())["memory_mib"] == 640


def test_pods_of_the_same_networks_side_by_side(faulty: Faulty, root: Path) -> None:
    other = Faulty(root, pod="virtual2")
    try:
        runs = [Background(pod, "deploy", *pod.options, "--until", "storage") for pod in (faulty, other)]
        assert [run.end() for run in runs] == [0, 0], "".join(run.said for run in runs)
        bridges = [sorted((route.cidr, route.device) for route in pod.host.routes()) for pod in (faulty, other)]
        assert bridges[0] == bridges[1] and len(bridges[0]) == 3
        other.check_whole()
        faulty.check_whole()
        other.check_torn_down()
        faulty.check_whole()
    finally:
        other.host.stop()
        shutil.rmtree(other.pod_dir, ignore_errors=True)


def test_an_image_truncated_in_the_cache_is_made_again(faulty: Faulty, root: Path) -> None:
    assert faulty.deploy().returncode == 0
    (image,) = (root / "cache" / "images").glob("*.qcow2")
    whole = image.read_bytes()
    os.truncate(image, len(whole) // 2)
    done = faulty.deploy()
    assert done.returncode == 0, done.stderr
    assert f"warning: {image} does not match its digest: it was set aside as {image.name}.corrupt" in done.stderr
    assert faulty.outcomes()["image"] == "done" and image.read_bytes() == whole


@pytest.mark.parametrize("kind", ["pool", "domain"])
def test_foreign_objects_of_our_names_are_left_alone(faulty: Faulty, kind: str, tmp_path: Path) -> None:
    """The pool holds a volume of one of our names, too."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "iec01.qcow2").write_bytes(b"theirs")
    name, verb, xml = {
        "pool": (
            "iecpod-faults-virtual1",
            "pool-define",
            f"<pool type='dir'><name>iecpod-faults-virtual1</name><target><path>{theirs}</path></target></pool>",
        ),
        "domain": (
            "faults-virtual1-iec01",
            "define",
            "<domain type='qemu'><name>faults-virtual1-iec01</name><memory unit='MiB'>64</memory>"
            "<os><type arch='aarch64' machine='virt'>hvm</type></os></domain>",
        ),
    }[kind]
    description = tmp_path / "foreign.xml"
    description.write_text(xml)
    faulty.pod_dir.mkdir(parents=True)
    faulty.host.start()
    virsh = ["virsh", "-c", faulty.host.uri]
    subprocess.run([*virsh, verb, str(description)], check=True, capture_output=True)
    dump = [*virsh, "pool-dumpxml" if kind == "pool" else "dumpxml", name]
    before = subprocess.check_output(dump)
    refused = faulty.deploy()
    assert refused.returncode == 4
    assert f"the hypervisor has a {kind} '{name}' that iecpod did not make [name-conflict]" in refused.stderr
    assert "nothing was changed" in refused.stderr
    faulty.host.start()
    assert subprocess.check_output(dump) == before and faulty.active_networks() == set()
    assert (theirs / "iec01.qcow2").read_bytes() == b"theirs"


def test_a_disk_that_is_full_from_the_beginning(root: Path, disk: Callable[[str], None]) -> None:
    command = Faulty(root, pod="virtual1", state="small")
    disk("64k")
    with contextlib.suppress(OSError), (root / "small" / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    done = command.deploy()
    assert done.returncode == 1
    assert "installation cannot be written: No space left on device" in done.stderr
    assert "remedy: make room there" in done.stderr and "Traceback" not in done.stderr
    assert command.host.leftovers() == () and not command.pod_dir.exists()


@pytest.mark.parametrize(("size", "what"), [("520k", "volume"), ("1900k", "start domain")])
def test_a_disk_that_fills_while_machines_are_made(
    root: Path, disk: Callable[[str], None], size: str, what: str
) -> None:
    """Overlay and seed of a node take 270 KiB, its NVRAM 64 MiB."""
    command = Faulty(root, pod="virtual1", state="small")
    try:
        run = Background(command, "deploy", *command.options, "--until", "domains")
        run.wait_until_it_says("phase storage")
        disk(size)
        assert run.end() == 1, run.said
        assert what in run.said and "No space left on device" in run.said and "Traceback" not in run.said
        assert "remedy: make room there; run the command again to resume from here" in run.said
        disk("4G")
        done = command.deploy()
        assert done.returncode == 0, done.stderr
        command.check_whole()
        disk(size)
        command.check_torn_down()
    finally:
        command.host.stop()
