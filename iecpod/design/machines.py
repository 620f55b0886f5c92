"""The machines of a POD as values that say nothing of who provides them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from iecpod.model import Arch, NetworkName


@dataclass(frozen=True, slots=True)
class Route:
    """`owner` says in words whose it is: `interface eth0`, `docker network (docker0)`."""

    cidr: IPv4Network
    device: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NicNetwork:
    """A network as a machine has it on one of its NICs; `vlan` is its tag there, None where it has none.

    `address` None leaves the device without one. `gateway` is set on the network with the default route only; `routes`
    are others, each with the next hop.
    """

    network: NetworkName
    vlan: int | None = None
    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    dns: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A NIC as its machine sees it; at most one of its networks has no tag."""

    mac: str
    guest_device: str
    mtu: int
    networks: tuple[NicNetwork, ...]

    def device_of(self, network: NicNetwork) -> str:
        """The NIC itself, or the VLAN device on top of it."""
        return network_device(self.guest_device, network.vlan)


def network_device(nic: str, vlan: int | None) -> str:
    """What a machine calls the device of a network with that tag on a NIC."""
    return nic if vlan is None else f"{nic}.{vlan}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """NoCloud files of one node, as text. `user_data` holds the host's private key: a secret."""

    user_data: str
    meta_data: str
    network_config: str


@dataclass(frozen=True, slots=True)
class BundleDisk:
    """An offline bundle as a disk that guests only read and share; `uuid` is that of its file system.

    Both follow from what the bundle is made from, so they are known before it is made.
    """

    path: str
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine as `plan` shows it and phases need it.

    `name` is the provider's own, with its kind: `domain local-virtual1-iec01`. `description` says what it consists of.
    `bundle_disk` is the UUID of the disk that brings the bundle, or empty.
    """

    hostname: str
    name: str
    arch: Arch
    vcpus: int
    memory_mib: int
    disk_bytes: int
    description: str
    bundle_disk: str = ""


def architectures(machines: Iterable[Machine]) -> tuple[Arch, ...]:
    """Each once."""
    return tuple(dict.fromkeys(machine.arch for machine in machines))
