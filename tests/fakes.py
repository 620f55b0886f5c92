"""Real objects behind the ports for tests: a hypervisor in memory, a clock without waiting, scripted shells.

`FakeHypervisor` passes the same contract tests as libvirt's drivers (tests/contract/test_hypervisor.py).
"""

from __future__ import annotations

import datetime
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.commands.request import PodRequest
from iecpod.design.machines import Route
from iecpod.design.owner import Owner
from iecpod.design.pace import Pace
from iecpod.errors import CommandFailed, HostError, ResourceConflict
from iecpod.model import Arch, PodRef
from iecpod.ports import Clock, CommandResult
from iecpod.providers.libvirt.connection.observed import find_name, parse_domain, parse_network, parse_pool, volume_in
from iecpod.providers.libvirt.objects import Emulator, Firmware, HostFacts, Kind, ObservedResource, Resource
from iecpod.providers.libvirt.ownership import check_owned
from iecpod.watch import Watch

FACTS = HostFacts(
    arch="x86_64",
    cpus=8,
    memory_mib=32768,
    libvirt_version="9.0.0",
    emulators={
        Arch.X86_64: Emulator("/usr/bin/qemu-system-x86_64", "q35", False, Firmware("/fw/OVMF.fd", "/fw/OVMF_VARS.fd")),
        Arch.AARCH64: Emulator("/usr/bin/qemu-system-aarch64", "virt", False, Firmware("/fw/AAVMF.fd", "/fw/VARS.fd")),
    },
)


class FakeClock:
    """Time passes only by sleeping, and days never: it is one on which Kubernetes 1.20 was new."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.date = datetime.date(2021, 2, 1)

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def today(self) -> datetime.date:
        return self.date


class RecordingReporter:
    """`lines` holds what was told, one text a call: `start PHASE`, `OUTCOME PHASE`, `NODE: message`, `warning: …`.

    What nodes took and what waits saw is apart, in `nodes` and `waits`.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.nodes: list[tuple[str, str]] = []
        self.waits: list[tuple[str, str, str]] = []

    def phase_started(self, phase: str, summary: str) -> None:
        self.lines.append(f"start {phase}")

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        self.lines.append(f"{outcome} {phase}")

    def node_started(self, node: str) -> None:
        self.nodes.append((node, "started"))

    def node_finished(self, node: str, outcome: str, seconds: float) -> None:
        self.nodes.append((node, outcome))

    def progress(self, message: str, node: str = "") -> None:
        self.lines.append(f"{node}: {message}" if node else message)

    def waiting(self, awaited: str, last_seen: str, node: str = "") -> None:
        self.waits.append((node, awaited, last_seen))

    def warn(self, message: str) -> None:
        self.lines.append(f"warning: {message}")


def fake_watch(
    pace: Pace = Pace(factor=1.0, low_overhead=False),  # noqa: B008 - a frozen value
    console: str | Callable[[str], str] = "",
    limits: Mapping[str, float] | None = None,
    clock: Clock | None = None,
    reporter: RecordingReporter | None = None,
    find_stopped: Callable[[], Sequence[str]] = tuple,
) -> Watch:
    """A watch over POD local/virtual1 that waits in no time."""
    read_console = console if callable(console) else lambda _node: console
    request = PodRequest(ref=PodRef("local", "virtual1"), base_uri="")
    told = reporter or RecordingReporter()
    return Watch(request.command, pace, clock or FakeClock(), told, read_console, find_stopped, limits or {})


Reply = CommandResult | Exception | Callable[[Sequence[str], bytes], CommandResult]


class FakeShell:
    """Answers by the longest prefix of argv that was scripted with `on`; keeps calls and files.

    A command that nobody scripted is an AssertionError: a test says what it expects. Where one prefix has several
    replies they are used up in order, and the last one stays.
    """

    def __init__(self, node: str = "iec01") -> None:
        self._node = node
        self._replies: dict[tuple[str, ...], list[Reply]] = {}
        self.calls: list[tuple[str, ...]] = []
        self.inputs: list[bytes] = []
        self.files: dict[str, bytes] = {}
        self.modes: dict[str, int] = {}
        self.closed = False

    @property
    def node(self) -> str:
        return self._node

    def on(self, *prefix: str, stdout: str = "", stderr: str = "", returncode: int = 0) -> FakeShell:
        return self.reply(prefix, CommandResult(returncode, stdout, stderr))

    def reply(self, prefix: Sequence[str], reply: Reply) -> FakeShell:
        """`reply` may also be an exception to raise, or a function of argv and stdin."""
        self._replies.setdefault(tuple(prefix), []).append(reply)
        return self

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float = 600.0, check: bool = True
    ) -> CommandResult:
        self.calls.append(tuple(argv))
        self.inputs.append(stdin)
        reply = self._next_reply(tuple(argv))
        if isinstance(reply, Exception):
            raise reply
        result = reply if isinstance(reply, CommandResult) else reply(argv, stdin)
        if check and result.returncode != 0:
            raise CommandFailed(self._node, argv, result.returncode, result.stderr or result.stdout)
        return result

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self.files[path] = content
        self.modes[path] = mode

    def send_file(self, local: Path, path: str, mode: int = 0o644) -> None:
        self.write_file(path, local.read_bytes(), mode)

    def read_file(self, path: str) -> bytes:
        if path not in self.files:
            raise CommandFailed(self._node, ["cat", path], 1, f"cat: {path}: No such file or directory")
        return self.files[path]

    def close(self) -> None:
        self.closed = True

    def called(self, *prefix: str) -> bool:
        return any(call[: len(prefix)] == prefix for call in self.calls)

    def _next_reply(self, argv: tuple[str, ...]) -> Reply:
        matching = [prefix for prefix in self._replies if argv[: len(prefix)] == prefix]
        assert matching, f"{self._node}: nobody scripted {' '.join(argv)}"
        replies = self._replies[max(matching, key=len)]
        return replies.pop(0) if len(replies) > 1 else replies[0]


@dataclass
class _Object:
    kind: Kind
    xml: str
    active: bool = False
    autostart: bool = False
    paused: bool = False
    volumes: set[str] = field(default_factory=set)


class FakeHypervisor:
    """`Hypervisor` in memory, with the rules of `LibvirtHypervisor`: what is not ours is shown and never touched."""

    def __init__(self, owner: Owner, facts: HostFacts = FACTS) -> None:
        self.owner = owner
        self._facts = facts
        self._objects: dict[tuple[Kind, str], _Object] = {}
        self.contents: dict[str, bytes] = {}
        self.refuse_to_define: HostError | None = None
        self.closed = False

    def add_foreign(self, kind: Kind, xml: str) -> None:
        """Defines an object as somebody else would, past all checks."""
        self._objects[kind, find_name(xml)] = _Object(kind, xml)

    def start_outside(self, kind: Kind, name: str) -> None:
        self._objects[kind, name].active = True

    def stop_outside(self, kind: Kind, name: str) -> None:
        """Turns an object off as a crash or another tool would."""
        self._objects[kind, name].active = False

    def edit_outside(self, name: str, edit: Callable[[str], str]) -> None:
        """Changes a domain's XML as `virsh edit` would."""
        target = self._objects[Kind.DOMAIN, name]
        target.xml = edit(target.xml)

    def set_autostart_outside(self, kind: Kind, name: str, autostart: bool) -> None:
        self._objects[kind, name].autostart = autostart

    def pause_outside(self, name: str) -> None:
        """Stops a domain's processors as `virsh suspend` or a full disk would."""
        self._objects[Kind.DOMAIN, name].paused = True

    def describe(self) -> HostFacts:
        return self._facts

    def observe(self) -> tuple[ObservedResource, ...]:
        seen: list[ObservedResource] = []
        for target in self._objects.values():
            view = self._view(target)
            seen.append(view)
            seen += [volume_in(view, name, f"{view.files[0]}/{name}") for name in sorted(target.volumes)]
        return tuple(seen)

    def define(self, resource: Resource) -> None:
        if self.refuse_to_define is not None:
            raise self.refuse_to_define
        starts = resource.kind is not Kind.DOMAIN
        made = _Object(resource.kind, resource.xml, active=starts, autostart=starts)
        bridge = self._view(made).bridge
        for view in (self._view(target) for target in self._objects.values() if target.kind is resource.kind):
            if view.name == resource.name or view.uuid == resource.uuid:
                check_owned(view, self.owner)
            if bridge and view.bridge == bridge and view.name != resource.name:
                raise ResourceConflict(f"bridge {bridge} belongs to network {view.name}")
        existing = self._objects.get((resource.kind, resource.name), made)
        made.active, made.volumes = made.active or existing.active, existing.volumes
        self._objects[resource.kind, resource.name] = made

    def create_volume(self, pool: str, xml: str) -> None:
        self._ours(Kind.POOL, pool).volumes.add(find_name(xml))

    def upload_volume(self, pool: str, name: str, content: bytes) -> None:
        self._ours(Kind.POOL, pool).volumes.add(name)
        self.contents[f"{pool}/{name}"] = content

    def start(self, kind: Kind, name: str) -> None:
        target = self._ours(kind, name)
        target.active, target.paused = True, False

    def dump(self, resource: ObservedResource) -> str:
        return self._ours(resource.kind, resource.name).xml

    def remove(self, resource: ObservedResource) -> None:
        if resource.kind is Kind.VOLUME:
            pool, _, volume = resource.name.partition("/")
            if (Kind.POOL, pool) in self._objects:
                self._ours(Kind.POOL, pool).volumes.discard(volume)
        elif (resource.kind, resource.name) in self._objects:
            self._ours(resource.kind, resource.name)
            del self._objects[resource.kind, resource.name]

    def close(self) -> None:
        self.closed = True

    def _ours(self, kind: Kind, name: str) -> _Object:
        target = self._objects.get((kind, name))
        if target is None:
            raise HostError(f"{kind.value} {name} does not exist")
        check_owned(self._view(target), self.owner)
        return target

    def _view(self, target: _Object) -> ObservedResource:
        if target.kind is Kind.NETWORK:
            return parse_network(target.xml, target.active, target.autostart)
        if target.kind is Kind.POOL:
            return parse_pool(target.xml, target.active, self.owner, target.autostart)
        return parse_domain(target.xml, target.active and not target.paused, target.autostart, target.paused)


class FakeHost:
    """`HypervisorHost` whose guests never answer; `started` tells whether `start` was called and not undone."""

    def __init__(self, hypervisor: FakeHypervisor, routes: tuple[Route, ...] = ()) -> None:
        self.hypervisor = hypervisor
        self.started = False
        self.left: tuple[str, ...] = ()
        self._routes = routes

    @property
    def uri(self) -> str:
        return "fake:///"

    @property
    def command_prefix(self) -> tuple[str, ...]:
        return ()

    def start(self) -> None:
        self.started = True

    def connect(self) -> FakeHypervisor:
        return self.hypervisor

    def open_socket(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        raise ConnectionRefusedError(f"{address}:{port}")

    def routes(self) -> tuple[Route, ...]:
        return self._routes

    def stop(self) -> None:
        self.started = False

    def leftovers(self) -> tuple[str, ...]:
        return self.left
