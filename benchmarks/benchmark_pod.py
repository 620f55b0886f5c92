"""A POD of a benchmark, in a state directory of its own: removed with its checkpoints, however the benchmark ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from iecpod.design.owner import Owner
from iecpod.model import PodRef
from iecpod.pods.installation import ensure_installation
from iecpod.providers.libvirt.embedded.host import EmbeddedHost

REF = PodRef("local", "virtual1")
POD = ("-l", REF.lab, "-p", REF.pod)


class BenchmarkPod:
    def __init__(self, state: Path) -> None:
        self._state = state
        self._environ = {**os.environ, "IECPOD_STATE_DIR": str(state)}

    def run(self, *arguments: str) -> str:
        """Standard output of a command, which is no result of this script."""
        argv = [sys.executable, "-m", "iecpod", *arguments]
        done = subprocess.run(argv, env=self._environ, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout, end="", file=sys.stderr)
        return done.stdout

    def virsh_on_all(self, verb: str, argument_of: Callable[[str], Sequence[str]]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda domain: self._virsh(verb, *argument_of(domain)), self._domains()))

    @property
    def directory(self) -> Path:
        return self._state / "pods" / REF.lab / REF.pod

    def _domains(self) -> list[str]:
        return self._virsh("list", "--all", "--name").split()

    def _virsh(self, *arguments: str) -> str:
        owner = Owner(ref=REF, installation=ensure_installation(self._state), pod_dir=self.directory)
        host = EmbeddedHost(self.directory, owner)
        argv = ["virsh", "-c", host.uri, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def remove(self) -> None:
        self.run("teardown", *POD)
        shown = json.loads(self.run("checkpoint", "ls", "-o", "json"))
        installation = ensure_installation(self._state)
        for one in shown:
            if one.get("installation") == installation:
                self.run("checkpoint", "rm", one["id"])

    def processor_seconds(self) -> dict[str, float]:
        """What each machine has used of the host's processors, by domain."""
        used = {}
        for domain in self._domains():
            shown = dict(line.split(":", 1) for line in self._virsh("dominfo", domain).splitlines() if ":" in line)
            used[domain] = float(shown["CPU time"].strip().removesuffix("s"))
        return used


@dataclass
class Stopwatch:
    """Seconds by step."""

    seconds: dict[str, float] = field(default_factory=dict)

    def time(self, step: str, run: Callable[[], object]) -> None:
        began_at = time.monotonic()
        run()
        self.seconds[step] = round(time.monotonic() - began_at, 1)
        print(f"benchmark: {step}: {self.seconds[step]} s", file=sys.stderr)  # also of one that fails later


@contextmanager
def temporary_pod() -> Iterator[BenchmarkPod]:
    signal.signal(signal.SIGTERM, _exit_on_signal)
    with tempfile.TemporaryDirectory(prefix="iecpod-benchmark-") as directory:
        pod = BenchmarkPod(Path(directory))
        try:
            yield pod
        finally:
            pod.remove()


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # past the teardown
