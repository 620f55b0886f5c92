"""Network namespaces of a test, joined by a bridge in one more: nothing of them is in the machine's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()"
_JOIN = """
ip link add "$1" type veth peer name mgmt netns "$2"
ip link set "$1" master mgmt up
nsenter --target "$2" --net sh -euc "
    echo 1 > /proc/sys/net/ipv4/ip_forward
    ip link set lo up
    ip addr add $3/24 dev mgmt
    ip link set mgmt up
"
"""


class Namespace:
    """A network namespace, and processes in it, which end with it."""

    def __init__(self) -> None:
        made = "echo made; exec sleep 600"
        self._holder = subprocess.Popen(["unshare", "--net", "sh", "-c", made], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None and self._holder.stdout.readline()
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int:
        return self._holder.pid

    def argv(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", *argv]

    def run(self, *argv: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*argv), input=stdin, capture_output=True, text=True, check=check, timeout=120, env=_environment()
        )

    def start(self, *argv: str, log: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            process = subprocess.Popen(
                self.argv(*argv), stdout=file, stderr=file, cwd=log.parent, env=environment or _environment()
            )
        self._started.append(process)
        return process

    def connects(self, address: str, port: int) -> bool:
        return self.run(sys.executable, "-c", _CONNECT, address, str(port), check=False).returncode == 0

    def end(self) -> None:
        for process in (*reversed(self._started), self._holder):
            process.kill()
            process.wait()


@contextmanager
def joined(addresses: Sequence[str]) -> Iterator[tuple[Namespace, ...]]:
    """One for each address, all in one /24 on a device that is called `mgmt`."""
    switch, ends = Namespace(), tuple(Namespace() for _ in addresses)
    try:
        switch.run("ip", "link", "add", "mgmt", "type", "bridge")
        switch.run("ip", "link", "set", "mgmt", "up")
        for number, (end, address) in enumerate(zip(ends, addresses, strict=True)):
            switch.run("sh", "-euc", _JOIN, "join", f"port{number}", str(end.pid), address)
        yield ends
    finally:
        for namespace in (*ends, switch):
            namespace.end()


def _environment() -> dict[str, str]:
    """Programs of network namespaces are not where users look."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
