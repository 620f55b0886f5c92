"""What phases need from the outside world, as Protocols; adapters implement them, tests ship fakes of them."""

from __future__ import annotations

import datetime
import enum
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iecpod.design.resources import BundleDisk, HostFacts, Kind, ObservedResource, Resource, Route
from iecpod.model import Arch


@dataclass(frozen=True, slots=True)
class CommandResult:
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The run that is at work on a POD; `since` is RFC 3339, in local time."""

    pid: int
    command: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} (`{self.command}`, since {self.since})"


class ProgramEnd(enum.Enum):
    """How a program of this host came to its end: by itself, as its time was up, or by a signal to this process."""

    ENDED = "ended"
    TIMED_OUT = "timed out"
    INTERRUPTED = "interrupted"


class Clock(Protocol):
    def now(self) -> float:
        """Seconds on a monotonic clock."""

    def sleep(self, seconds: float) -> None: ...

    def today(self) -> datetime.date:
        """The day in UTC."""


class Reporter(Protocol):
    """Tells a person or a job how a run goes; never raises."""

    def phase_started(self, phase: str, summary: str) -> None: ...

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        """`outcome` is one of `done`, `in place`, `failed`."""

    def node_started(self, node: str) -> None:
        """Work of the present phase begins on a node."""

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        """`outcome` is `done` or `failed`."""

    def progress(self, message: str, node: str = "") -> None:
        """What is going on right now, on one node or on all."""

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        """At each look of a wait, so up to once a second a node; a reporter tells it as often as its readers like."""

    def warn(self, message: str) -> None: ...


class Hypervisor(Protocol):
    """One libvirt connection: objects in, objects out. Raises `HostError` and its kin."""

    def describe(self) -> HostFacts: ...

    def observe(self) -> tuple[ObservedResource, ...]:
        """Every network, pool, volume of our pools, and domain there is, foreign ones (`mark` None) included."""

    def define(self, resource: Resource) -> None:
        """Defines a network, pool or domain persistently (networks and pools with autostart), XML validated.

        A network or pool is also started; a pool's directory is made. A domain stays off.
        """

    def create_volume(self, pool: str, xml: str) -> None:
        """Creates a volume; one of the same name that is left from an aborted run is replaced."""

    def upload_volume(self, pool: str, name: str, content: bytes) -> None:
        """Creates a raw volume that holds `content`, replacing one of the same name."""

    def start(self, kind: Kind, name: str) -> None:
        """Starts what is defined, and resumes a domain that is paused; nothing happens where it runs already."""

    def dump(self, resource: ObservedResource) -> str:
        """The XML of a network, pool or domain of ours as it is now. Raises `HostError` where it is gone."""

    def remove(self, resource: ObservedResource) -> None:
        """Stops and removes an object with all that belongs to it (NVRAM, managed save, snapshots, volumes)."""

    def close(self) -> None: ...


class HypervisorHost(Protocol):
    """The place where a hypervisor runs, and the way from this process to its guests."""

    @property
    def uri(self) -> str: ...

    @property
    def command_prefix(self) -> tuple[str, ...]:
        """argv that runs a host program (ssh, virsh) where guests can be reached; empty for the host itself."""

    def start(self) -> None:
        """Makes the hypervisor available (starts the embedded daemons); idempotent."""

    def connect(self) -> Hypervisor: ...

    def open_socket(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        """A connected TCP socket to a guest; OSError where it does not answer."""

    def routes(self) -> tuple[Route, ...]:
        """IPv4 routes, docker's networks included, of the network namespace that the guests' bridges live in."""

    def stop(self) -> None:
        """Takes away what `start` made; nothing on hypervisors that are not ours."""

    def leftovers(self) -> tuple[str, ...]:
        """What `stop` should have taken away and is still there, as `kind name`."""


class Shell(Protocol):
    """Commands and files on one node, as root through sudo."""

    @property
    def node(self) -> str: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_seconds: float = 600.0,
        check: bool = True,
    ) -> CommandResult:
        """Runs `argv` as root. Raises `CommandFailed` when `check` and non-zero, `NodeUnreachable`, `WaitTimeout`."""

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Writes atomically as root:root, making parent directories."""

    def send_file(self, local: Path, path: str, mode: int = 0o644) -> None:
        """As `write_file`, with the content of a file of this machine; large ones are not held in memory."""

    def read_file(self, path: str) -> bytes: ...

    def close(self) -> None: ...


class HostKubectl(Protocol):
    """kubectl on this host, with a POD's admin kubeconfig and in the network that reaches its API server."""

    def is_ready(self) -> bool:
        """Whether the kubeconfig is there."""

    def run(self, arguments: Sequence[str], *, stdin: bytes, timeout_seconds: float) -> CommandResult:
        """Raises `CommandFailed`, `WaitTimeout`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """A read-only disk image in the cache, stored under its digest; `sha256` is of the file as stored."""

    path: Path
    sha256: str
    format: str
    virtual_size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFiles:
    """What an offline bundle brings to a node: files of this machine; `images` hold the images of `references`.

    Among `debs` is their index where nodes choose of them.
    """

    debs: tuple[Path, ...]
    programs: tuple[Path, ...]
    images: tuple[Path, ...]
    references: tuple[str, ...]


class Images(Protocol):
    """Base images by what they are made from."""

    def key(self, arch: Arch) -> str:
        """Digest of all inputs of the image; computed without making it."""

    def find(self, arch: Arch) -> BaseImage | None:
        """The image where it is cached and verified; makes nothing. Nobody removes it while this process runs."""

    def ensure(self, arch: Arch) -> BaseImage:
        """The image, fetched or built and verified if it is not cached; kept as by `find`. Raises `ImageError`."""


class BundleDisks(Protocol):
    """Bundles as disks that guests share, one an architecture."""

    def disk(self, arch: Arch) -> BundleDisk:
        """What it is and where it lies once it is made; makes nothing."""

    def is_made(self, arch: Arch) -> bool: ...

    def ensure(self, arch: Arch) -> None:
        """Makes it, and the bundle, where it is missing or damaged. Raises `ImageError`."""
