"""One POD for all tests: deployed for real, killed twice on the way, inspected, and torn down at the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from iecpod.adapters.reporters import LogReporter
from iecpod.commands.installation import ensure_installation
from iecpod.design.owner import Owner
from iecpod.images.cache import Cache
from iecpod.model import Arch, PodRef
from iecpod.processes import find_processes
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from tests.e2e import small_lab
from tests.e2e.outside.servers import Servers
from tests.e2e.outside.world import OutsideWorld, make_world
from tests.e2e.time_budget import TimeBudget

LAB, POD = "local", "virtual1"
RELEASE = "k8s-1.37-go"
HOSTNAMES = ("iec01", "iec02", "iec03")
CACHE_DIR = Path(os.environ.get("IECPOD_CACHE_DIR", "/var/cache/iecpod"))


_BUDGET = TimeBudget.of_environment()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if refusal := _BUDGET.refusal(item.path.name, time.monotonic()):
        pytest.skip(refusal)


@dataclass(frozen=True)
class Iecpod:
    """Runs the command as a job would: no terminal, directories of its own, the machine's cache.

    `settings` are variables of the environment; `prefix` leads the command into other surroundings.
    """

    root: Path
    lab: str = LAB
    pod: str = POD
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "IECPOD_STATE_DIR": str(self.root / "state"),
            "IECPOD_RUNTIME_DIR": str(self.root / "run"),
            "IECPOD_DEPLOY_DISPOSABLE": "1",  # as the lab `local` is: others need not wait for the host's disk either
            **self.settings,
        }

    @property
    def pod_dir(self) -> Path:
        return self.root / "state" / "pods" / self.lab / self.pod

    def argv(self, verb: str, *arguments: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "iecpod", verb, "-l", self.lab, "-p", self.pod, *arguments]

    def run(self, verb: str, *arguments: str, timeout: float = 3000.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(verb, *arguments),
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def check(self, verb: str, *arguments: str, timeout: float = 3000.0) -> str:
        """Standard output of a run that must succeed."""
        done = self.run(verb, *arguments, timeout=timeout)
        assert done.returncode == 0, f"{verb} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def on_node(self, hostname: str, *command: str) -> str:
        return self.check("ssh", hostname, "--", *command)

    def kubectl(self, *arguments: str) -> str:
        return self.check("kubectl", *arguments)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    @property
    def host(self) -> EmbeddedHost:
        installation = ensure_installation(self.root / "state")
        owner = Owner(ref=PodRef(self.lab, self.pod), installation=installation, pod_dir=self.pod_dir)
        return EmbeddedHost(self.pod_dir, owner)

    def virsh(self, *arguments: str) -> str:
        """What somebody else does on the POD's hypervisor."""
        argv = ["virsh", "-c", self.host.uri, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def kill_libvirtd(self) -> None:
        """With SIGKILL; the POD's own one, and no other."""
        pid_file = os.fsencode(self.pod_dir / "libvirt" / "run" / "libvirtd.pid")
        found = find_processes(lambda process: pid_file in (process / "cmdline").read_bytes().split(b"\0"))
        (daemon,) = (process for process in found if process.program == "libvirtd")
        os.kill(daemon.pid, signal.SIGKILL)

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.pod_dir / "report.json").read_text())
        return report


@contextmanager
def deploy_in_phase(
    iecpod: Iecpod, phase: str, log: Path, verb: str = "deploy", *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A deploy, or another verb that has its phases, that has come to a phase; what it prints goes to `log`."""
    with log.open("w") as output:
        argv = iecpod.argv(verb, *arguments)
        process = subprocess.Popen(argv, env=iecpod.environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline = time.monotonic() + 3000
        while f"phase {phase}" not in log.read_text():
            assert process.poll() is None, f"{verb} ended before phase {phase}:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"phase {phase} was not reached:\n{log.read_text()}"
            time.sleep(0.2)
        yield process


def kill_deploy_in_phase(iecpod: Iecpod, phase: str, seconds_into_it: float) -> None:
    """Starts a deploy and ends it with SIGKILL some time into a phase."""
    with deploy_in_phase(iecpod, phase, iecpod.root / f"killed-in-{phase}.log") as process:
        time.sleep(seconds_into_it)
        process.send_signal(signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class HostSnapshot:
    """What a POD could leave behind on a host."""

    namespaces: frozenset[str]
    mounts: frozenset[str]
    processes: frozenset[str]
    links: frozenset[str]

    @classmethod
    def take(cls) -> HostSnapshot:
        def lines(*argv: str) -> list[str]:
            return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()

        interesting = ("qemu-system", "libvirtd", "virtlogd", "dnsmasq")
        return cls(
            namespaces=frozenset(line.split()[0] for line in lines("ip", "netns", "list") if line),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            processes=frozenset(
                line
                for line in lines("ps", "-e", "-o", "pid=,args=")
                # A zombie has ended; when init takes note of it is not ours to say.
                if any(name in line for name in interesting) and "<defunct>" not in line
            ),
            links=frozenset(line.split()[0] for line in lines("ip", "-brief", "link")),
        )


def check_teardown(command: Iecpod, host_before: HostSnapshot) -> None:
    """Of a POD whose machines are all there: they go, and nothing of it stays."""
    assert f"removed domain {command.lab}-{command.pod}-iec01" in command.check("teardown")
    assert HostSnapshot.take() == host_before
    assert not command.pod_dir.exists()


@pytest.fixture(scope="session")
def host_before() -> HostSnapshot:
    return HostSnapshot.take()


@pytest.fixture(scope="session")
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("the embedded hypervisor needs root")


@pytest.fixture(scope="session")
def cache() -> Cache:
    """The machine's: what was made once is there for every run."""
    return Cache(CACHE_DIR, LogReporter())


@pytest.fixture(scope="session")
def iecpod(as_root: None) -> Iterator[Iecpod]:
    if reused := os.environ.get("IECPOD_E2E_ROOT"):
        # A POD that stands already (in ROOT/state and ROOT/run), for work on the tests themselves; it is left alone.
        yield Iecpod(Path(reused))
        return
    root = Path(tempfile.mkdtemp(prefix="iecpod-e2e-"))
    command = Iecpod(root)
    yield command
    command.run("teardown")
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def baked(iecpod: Iecpod) -> None:
    """All programs are compiled, those of the conformance tests, too: beside guests that takes four times as long."""
    if "IECPOD_E2E_ROOT" not in os.environ:
        argv = [sys.executable, "-m", "iecpod", "image", "bake", "--release", RELEASE, "--tests"]
        subprocess.run(argv, env=iecpod.environ, stdin=subprocess.DEVNULL, check=True)


@pytest.fixture(scope="session")
def pod(iecpod: Iecpod, baked: None, host_before: HostSnapshot) -> Iecpod:
    """The POD, up: its deploy was killed while guests booted and while kubeadm ran, and went on each time."""
    if "IECPOD_E2E_ROOT" in os.environ:
        return iecpod
    kill_deploy_in_phase(iecpod, "reachable", 5.0)
    kill_deploy_in_phase(iecpod, "control-plane", 40.0)
    files = (("--report", "report.json"), ("--junit", "junit.xml"), ("--events", "events"))
    iecpod.check("deploy", *(argument for option, name in files for argument in (option, str(iecpod.root / name))))
    return iecpod


@pytest.fixture(scope="session")
def logs_archive(pod: Iecpod, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `iecpod logs` makes of the POD while it is up."""
    path = tmp_path_factory.mktemp("logs") / "pod.tar.gz"
    assert pod.check("logs", str(path)) == f"{path}\n"
    return path


@contextmanager
def connected_machines(world: OutsideWorld, pod: str, keys: Mapping[str, Path]) -> Iterator[tuple[Iecpod, Servers]]:
    """Machines of a connected lab that boot, and the servers at work; `keys` are those of its repositories."""
    command = Iecpod(world.root, small_lab.LAB, pod)
    try:
        command.check("deploy", *world.options(keys), "--until", "domains")
        with world.at(command.host) as servers:
            yield command, servers
    finally:
        command.run("teardown")


@pytest.fixture(scope="session")
def world(as_root: None, cache: Cache) -> Iterator[OutsideWorld]:
    """What connected labs reach, on disk; each of their PODs has the servers for itself."""
    if Arch.of_this_machine() is not Arch.X86_64:
        pytest.skip("the PODs are of x86_64, whose programs this machine does not run")
    with tempfile.TemporaryDirectory(prefix="iecpod-e2e-connected-") as directory:
        world = make_world(Path(directory), small_lab.load_shipped(RELEASE), cache)
        with world.host_server.at_work():
            yield world
