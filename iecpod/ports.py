"""What phases need from the outside world, as Protocols; adapters implement them, tests ship fakes of them."""

from __future__ import annotations

import datetime
import enum
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from iecpod.design.machines import BundleDisk
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LongProgram:
    """A program of this host that runs for minutes, and is given time to clean up.

    After `seconds`, or when a signal comes, it is asked to end within `grace_seconds`. `environment` is all that it has
    besides a search path; `log_path` is a new file for what it prints.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    log_path: Path
    seconds: float
    grace_seconds: float


class RunLongProgram(Protocol):
    def __call__(self, program: LongProgram, look: Callable[[bytes], None]) -> ProgramEnd:
        """Runs it to its end; `look` is given what it prints, as it comes. Raises `HostError`."""


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
        """At each look of a wait, so up to once a second a node; a reporter shows it as often as its readers like."""

    def warn(self, message: str) -> None: ...


class WayIn(Protocol):
    """The way from this process to a node."""

    @property
    def command_prefix(self) -> tuple[str, ...]:
        """argv that runs a host program (ssh, virsh) where nodes can be reached; empty for the host itself."""

    def open_socket(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        """A connected TCP socket to a node; OSError where it does not answer."""


@dataclass(frozen=True, slots=True)
class NodeEndpoint:
    """How a node is reached. `host_key` is the public SSH host key that it must have, as `TYPE BASE64`.

    The remedies say what to do where it refuses the POD's key, and where it offers another host key.
    """

    hostname: str
    address: IPv4Address
    user: str
    host_key: str
    way: WayIn
    refused_remedy: str = ""
    mismatch_remedy: str = ""


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

    def send_file(self, local: Path, path: str, mode: int = 0o644, *, compress: bool = False) -> None:
        """As `write_file`, with the content of a file of this machine; large ones are not held in memory."""

    def read_file(self, path: str) -> bytes: ...

    def connect(self) -> None:
        """Logs in, unless that is done. Raises `NodeUnreachable`; a node that is not up takes seconds."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """`status` is HTTP's. `sent_at` is Unix time by the clock of whoever answered (RFC 9110, 6.6.1), if it says it."""

    status: int
    content: bytes = field(repr=False)
    sent_at: float | None = None


#: Of one answer of an API server: all pods of a large POD are some MiB.
MOST_API_ANSWER_BYTES = 32 * 1024 * 1024


class ApiWatch(Protocol):
    """What an API server reports of objects as they change. Nothing is promised: reports may be late, and some lost."""

    def has_changed(self) -> bool:
        """Whether anything was reported since this was asked last. What was there at the beginning is reported, too."""

    def close(self) -> None: ...


class ApiServer(Protocol):
    """A cluster's API server, asked from this host as the cluster's administrator."""

    def is_ready(self) -> bool:
        """Whether it can be asked from here: the kubeconfig is there, and there is a way. It may still not answer."""

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        timeout_seconds: float,
    ) -> ApiAnswer:
        """Any status is an answer. Raises `NodeUnreachable` where none comes in time, or not all of it."""

    def watch(self, paths: Sequence[str]) -> ApiWatch:
        """Of lists, whose paths may have selectors. It begins, and begins again, in the background, once it is used."""


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
        """What it is and where it is once it is made; makes nothing."""

    def is_made(self, arch: Arch) -> bool: ...

    def ensure(self, arch: Arch) -> None:
        """Makes it, and the bundle, where it is missing or damaged. Raises `ImageError`."""
