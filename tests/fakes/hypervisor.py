"""A hypervisor in memory for tests.

`FakeHypervisor` passes the same contract tests as libvirt's drivers
(tests/contract/providers/libvirt/test_hypervisor.py).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.design.machines import Route
from iecpod.design.owner import Owner
from iecpod.errors import HostError, ResourceConflict
from iecpod.model import Arch
from iecpod.providers.libvirt.connection.observed import find_name, parse_domain, parse_network, parse_pool, volume_in
from iecpod.providers.libvirt.objects import Emulator, Firmware, HostFacts, Kind, ObservedResource, Resource, VlanLink
from iecpod.providers.libvirt.ownership import check_owned

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
        self.version = "7.2.0"
        self.refuse_states: set[str] = set()
        self.reads_pipes = True
        self.loaded: dict[str, str] = {}
        self.pulled: list[tuple[str, str]] = []

    def add_foreign(self, kind: Kind, xml: str) -> None:
        """Defines an object from outside, past all checks."""
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

    def emulator_version(self) -> str:
        return self.version

    def cpu_model(self) -> str:
        return "Fake CPU"

    def pause(self, name: str) -> None:
        target = self._ours(Kind.DOMAIN, name)
        target.paused = target.paused or target.active

    def save_state(self, name: str, overlay: str, memory: str | None) -> None:
        """The memory is the names of what was paused by then."""
        if name in self.refuse_states:
            raise HostError(f"the state of {name} is refused")
        target = self._ours(Kind.DOMAIN, name)
        if memory is not None:
            Path(memory).write_text(" ".join(sorted(key[1] for key, seen in self._objects.items() if seen.paused)))
        present = parse_domain(target.xml, True).disks[0]
        target.xml = target.xml.replace(f"'{present}'", f"'{overlay}'")

    def load_state(self, name: str, memory: str) -> None:
        if name in self.refuse_states:
            raise HostError(f"the state of {name} is refused")
        if Path(memory).is_fifo() and not self.reads_pipes:
            raise HostError("image magic is incorrect")
        target = self._ours(Kind.DOMAIN, name)
        self.loaded[name] = Path(memory).read_text()
        target.active, target.paused = True, True

    def stop(self, name: str) -> None:
        target = self._ours(Kind.DOMAIN, name)
        target.active = target.paused = False

    def pull(self, name: str, base: str) -> None:
        self.pulled.append((name, base))

    def seal(self, path: Path) -> None:
        path.chmod(0o440)

    def place_nvram(self, source: Path, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(source.read_bytes())

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


class FakeVlanLinks:
    """`VlanLinks` in memory; `why_not` is what keeps this process from making any."""

    def __init__(self) -> None:
        self.made: tuple[VlanLink, ...] = ()
        self.why_not = ""

    def find_missing(self, links: Sequence[VlanLink]) -> tuple[VlanLink, ...]:
        return tuple(link for link in links if link not in self.made)

    def ensure(self, links: Sequence[VlanLink]) -> None:
        self.made = tuple(links)

    def remove(self) -> tuple[str, ...]:
        names = tuple(f"device {link.trunk}.{link.vlan}" for link in self.made)
        self.made = ()
        return names

    def problem(self) -> str:
        return self.why_not


class FakeHost:
    """`HypervisorHost` whose guests never answer; `started` says whether `start` was called and not undone."""

    def __init__(self, hypervisor: FakeHypervisor, routes: tuple[Route, ...] = ()) -> None:
        self.hypervisor = hypervisor
        self.started = False
        self.left: tuple[str, ...] = ()
        self._routes = routes
        self.links = FakeVlanLinks()

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

    @property
    def vlan_links(self) -> FakeVlanLinks:
        return self.links

    def open_socket(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        raise ConnectionRefusedError(f"{address}:{port}")

    def routes(self) -> tuple[Route, ...]:
        return self._routes

    def stop(self) -> None:
        self.started = False

    def leftovers(self) -> tuple[str, ...]:
        return self.left
