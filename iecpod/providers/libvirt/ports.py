"""libvirt as this provider needs it; adapters implement it, tests ship fakes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from iecpod.design.machines import Route
from iecpod.ports import WayIn
from iecpod.providers.libvirt.objects import HostFacts, Kind, ObservedResource, Resource, VlanLink


class GuestStates(Protocol):
    """Memory and disks of domains that are ours, at one instant. Raises `HostError` and its kin."""

    def emulator_version(self) -> str:
        """Of QEMU, whose other versions may not load what this one has saved."""

    def cpu_model(self) -> str:
        """Of the host, as libvirt names it."""

    def pause(self, name: str) -> None:
        """Stops the processors of a domain that runs; nothing happens to one that does not."""

    def save_state(self, name: str, overlay: str, memory: str | None) -> None:
        """Writes the memory of a domain to a new file, and has its root disk go over to `overlay`.

        `overlay` is a qcow2 on top of the present disk, which is only read from then on. A domain that is off has no
        memory. A domain that was paused stays so.
        """

    def load_state(self, name: str, memory: str) -> None:
        """Starts a domain that is defined and off with memory that `save_state` wrote; it is paused."""

    def stop(self, name: str) -> None:
        """Switches a domain off at once, as a power failure would."""

    def pull(self, name: str, base: str) -> None:
        """Copies what is between the root disk of a domain that runs and `base` into the disk, and waits for it."""

    def seal(self, path: Path) -> None:
        """Makes a disk one that QEMU may read, and that no other user may read or write."""

    def place_nvram(self, source: Path, target: Path) -> None:
        """Copies UEFI variables to where a domain that is off has them."""


class Hypervisor(GuestStates, Protocol):
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


class VlanLinks(Protocol):
    """Links between bridges of one POD, where its hypervisor runs. Raises `HostError` and its kin."""

    def find_missing(self, links: Sequence[VlanLink]) -> tuple[VlanLink, ...]:
        """Those that are not there, or differ."""

    def ensure(self, links: Sequence[VlanLink]) -> None:
        """Makes those that are missing, replaces those that differ, removes others; both bridges exist."""

    def remove(self) -> tuple[str, ...]:
        """Removes every link of the POD, and names them."""

    def problem(self) -> str:
        """Why this process cannot make any; empty where it can."""


class HypervisorHost(WayIn, Protocol):
    """The place where a hypervisor runs, and the way from this process to its guests."""

    @property
    def uri(self) -> str: ...

    def start(self) -> None:
        """Makes the hypervisor available (starts the embedded daemons); idempotent."""

    def connect(self) -> Hypervisor: ...

    @property
    def vlan_links(self) -> VlanLinks: ...

    def routes(self) -> tuple[Route, ...]:
        """IPv4 routes, docker's networks included, of the network namespace that the guests' bridges live in."""

    def stop(self) -> None:
        """Takes away what `start` made; nothing on hypervisors that are not ours."""

    def leftovers(self) -> tuple[str, ...]:
        """What `stop` should have taken away and is still there, as `kind name`."""
