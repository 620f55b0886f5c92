"""Linux network namespaces by name, as `ip netns` keeps them, and the processes that live in one."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from iecpod.adapters.host_programs import run_program
from iecpod.errors import HostError, ResourceConflict
from iecpod.model import PodRef

T = TypeVar("T")

NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000

# Marks the namespace and brings loopback up before it gets a name: a name that is seen is always marked.
_MAKE_NAMESPACE = 'ip link set dev lo up alias "$1" && ip netns attach "$2" $$'


#: Between directory and installation in the mark of a namespace, which has at most 255 bytes (IFALIASZ).
_INSTALLATION = " installation="


class NetworkNamespace:
    """One named namespace; `owner` is written on its loopback device and distinguishes ours from one of the same name.

    `former` are what earlier versions wrote there.
    """

    def __init__(self, name: str, owner: str, former: tuple[str, ...] = ()) -> None:
        self.name = name
        self.path = NAMESPACES / name
        self._owner = owner
        self._accepted = {owner, *former}

    def exists(self) -> bool:
        """A name without a namespace behind it, as a killed `ip` leaves one, counts as nothing."""
        try:
            return self.path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
        except FileNotFoundError:
            return False

    def is_ours(self) -> bool:
        return self.exists() and find_alias(self.name) in self._accepted

    def ensure(self) -> None:
        """Makes the namespace, loopback up, where it is not there. Raises `ResourceConflict`."""
        if self.exists():
            alias = find_alias(self.name)
            if alias not in self._accepted:
                raise ResourceConflict(
                    f"network namespace {self.name} exists and is not ours (owner: {alias or 'unknown'})",
                    "tear it down from there, or use another POD name; where the directory it names is gone, "
                    "`iecpod gc --older-than 0s --all` removes it",
                )
            return
        self.path.unlink(missing_ok=True)
        run_program(["unshare", "--net", "--", "sh", "-ec", _MAKE_NAMESPACE, "sh", self._owner, self.name])

    def adopt(self, pid: int) -> None:
        """Gives the namespace that process `pid` lives in its name back."""
        self.path.unlink(missing_ok=True)
        run_program(["ip", "netns", "attach", self.name, str(pid)])

    def remove(self) -> None:
        """Takes the name away; with the last process in it the namespace goes, and all its devices."""
        if self.exists():
            run_program(["ip", "netns", "del", self.name])
        else:
            self.path.unlink(missing_ok=True)

    def inode(self) -> int | None:
        try:
            return self.path.stat().st_ino if self.exists() else None
        except FileNotFoundError:
            return None

    def connect(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        """A TCP connection made inside. A socket keeps the namespace it was made in, so only a thread goes there."""
        return run_inside(self.path, lambda: socket.create_connection((address, port), timeout_seconds))

    def run(self, action: Callable[[], None]) -> None:
        """Calls it in a thread that is inside, and waits for it."""
        run_inside(self.path, action)


def namespace_name(ref: PodRef) -> str:
    return f"iecpod-{ref.lab}-{ref.pod}"


@dataclass(frozen=True, slots=True)
class NamespaceMark:
    """Whose a network namespace is: the POD's directory, and the installation (empty in marks of earlier versions)."""

    pod_dir: Path
    installation: str

    def __str__(self) -> str:
        return f"iecpod {self.pod_dir / 'libvirt'}" + (
            f"{_INSTALLATION}{self.installation}" if self.installation else ""
        )

    @classmethod
    def parse(cls, alias: str) -> NamespaceMark | None:
        """None where another program wrote it."""
        word, _, rest = alias.partition(" ")
        directory, _, installation = rest.partition(_INSTALLATION)
        mark = cls(Path(directory).parent, installation)
        return mark if word == "iecpod" and str(mark) == alias else None


def find_alias(name: str) -> str:
    """Whose the namespace is. Raises `CommandFailed` where the name has none behind it."""
    links = json.loads(run_program(["ip", "-n", name, "-j", "link", "show", "dev", "lo"]))
    return str(links[0].get("ifalias", "")) if links else ""


def run_inside(namespace: Path, action: Callable[[], T]) -> T:
    result: list[T] = []
    failure: list[Exception] = []

    def work() -> None:
        try:
            _enter(namespace)
            result.append(action())
        except Exception as error:
            failure.append(error)

    thread = threading.Thread(target=work, name=f"in {namespace.name}", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _enter(namespace: Path) -> None:
    """Moves the calling thread, and only it, into the namespace; the thread ends there."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise HostError(
                f"cannot enter network namespace {namespace.name}: {os.strerror(code)}",
                "run iecpod as root",
            )
    finally:
        os.close(descriptor)
