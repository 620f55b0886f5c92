"""Servers in a network namespace: they end with the test, and nothing listens on the host itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.deploy.phases.verify_paths import OpenSocket

_PATIENCE_SECONDS = 30.0
#: In a mount namespace of its own: host names are what the file says.
_WITH_HOSTS = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'


@dataclass(frozen=True)
class Servers:
    """`prefix` leads a command into the namespace; `hosts` is the /etc/hosts of every server."""

    prefix: tuple[str, ...]
    open_socket: OpenSocket
    hosts: Path
    logs: Path
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self, name: str, argv: Sequence[str], address: str, port: int) -> None:
        """Returns when it takes connections. What it prints goes to `logs/NAME.log`."""
        log = self.logs / f"{name}.log"
        private = ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", _WITH_HOSTS, "sh", str(self.hosts)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.prefix, *private, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._stack.callback(_end, process)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers(address, port):
            assert process.poll() is None, f"{name} ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{name} does not answer:\n{log.read_text()}"
            time.sleep(0.1)

    def stop(self) -> None:
        self._stack.close()

    def _answers(self, address: str, port: int) -> bool:
        try:
            self.open_socket(address, port, 1.0).close()
        except OSError:
            return False
        return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
