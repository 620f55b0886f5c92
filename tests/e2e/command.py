"""The command as a job runs it, and deploys that are interrupted on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iecpod.design.owner import Owner
from iecpod.model import PodRef
from iecpod.pods.installation import ensure_installation
from iecpod.processes import find_processes
from iecpod.providers.libvirt.embedded.host import EmbeddedHost

LAB, POD = "local", "virtual1"
RELEASE = "k8s-1.37-go"
HOSTNAMES = ("iec01", "iec02", "iec03")
#: For work on the tests themselves, a state that stands already (in ROOT/state and ROOT/run): a POD, which is left
#: alone, or the checkpoint of one.
REUSED_ROOT = os.environ.get("IECPOD_E2E_ROOT")
CACHE_DIR = Path(os.environ.get("IECPOD_CACHE_DIR", "/var/cache/iecpod"))


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

    @property
    def cache_dir(self) -> Path:
        return Path(self.settings.get("IECPOD_CACHE_DIR", CACHE_DIR))

    def machines(self) -> set[str]:
        """The domains that the POD's libvirtd has on record, whether it runs or not."""
        return {path.stem for path in (self.pod_dir / "libvirt/etc/qemu").glob("*.xml")}

    def argv(self, verb: str, *arguments: str) -> list[str]:
        """`verb` may have a verb of its own, as in "checkpoint save"."""
        return [*self._program, *verb.split(), "-l", self.lab, "-p", self.pod, *arguments]

    @property
    def _program(self) -> tuple[str, ...]:
        return (*self.prefix, sys.executable, "-m", "iecpod")

    def run(self, verb: str, *arguments: str, timeout: float = 3000.0) -> subprocess.CompletedProcess[str]:
        return self._run(self.argv(verb, *arguments), timeout)

    def run_for_all(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb that is not about one POD, such as "checkpoint ls"."""
        return self._run([*self._program, *verb.split(), *arguments], timeout=1200.0)

    def _run(self, argv: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
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

    def seconds_off(self, hostname: str) -> float:
        """By how much its clock is wrong, as far as the time of the question shows."""
        asked_at = time.time()
        at = float(self.on_node(hostname, "date", "+%s.%N"))
        return max(asked_at - at, at - time.time(), 0.0)

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
        """What an administrator does on the POD's hypervisor."""
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
        assert process.wait() == -signal.SIGKILL, "it had ended before"
