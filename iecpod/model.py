"""What the descriptors say, as frozen typed values: no I/O, no defaults that a descriptor did not state."""

from __future__ import annotations

import enum
import platform
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TypeAlias

from iecpod.errors import UsageError
from iecpod.hypervisor_uri import HypervisorUri

#: Every address and network of a POD; the day that descriptors know IPv6, these become unions.
IpAddress: TypeAlias = IPv4Address
IpNetwork: TypeAlias = IPv4Network

#: With less, no kernel of a cloud image gets as far as cloud-init.
LEAST_MEMORY_MIB = 512


class Arch(str, enum.Enum):
    X86_64 = "x86_64"
    AARCH64 = "aarch64"

    @property
    def debian(self) -> str:
        """Debian's, Ubuntu's and Go's word for the architecture."""
        return {"x86_64": "amd64", "aarch64": "arm64"}[self.value]

    @classmethod
    def of_this_machine(cls) -> Arch:
        """Raises `ValueError` on a machine that is neither."""
        return cls(platform.machine())


class NodeType(str, enum.Enum):
    VIRTUAL = "virtual"
    BAREMETAL = "baremetal"


class NetworkName(str, enum.Enum):
    """The networks of an IDF's `net_config`."""

    OOB = "oob"
    ADMIN = "admin"
    MGMT = "mgmt"
    STORAGE = "storage"
    PRIVATE = "private"
    PUBLIC = "public"


#: The networks a virtual node has a NIC on, in Fuel's order of NICs.
VIRTUAL_NETWORKS = (NetworkName.ADMIN, NetworkName.MGMT, NetworkName.PRIVATE, NetworkName.PUBLIC)


#: One component of a path, and part of names of libvirt objects, namespaces and files: never empty, `.` or `..`.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


def check_name(what: str, name: str) -> str:
    """The name of a `lab` or a `POD`, as it is. Raises `UsageError` for what cannot be one."""
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} cannot be the name of a {what}",
            "names are letters, digits, '-', '_' and '.', and begin with a letter or digit",
        )
    return name


@dataclass(frozen=True, slots=True, order=True)
class PodRef:
    """An OPNFV POD by lab and name, as in `-l arm -p virtual2`. Raises `UsageError` for what cannot be such names."""

    lab: str
    pod: str

    def __post_init__(self) -> None:
        check_name("lab", self.lab)
        check_name("POD", self.pod)

    def below(self, directory: Path) -> Path:
        """The POD's own place in a directory of all PODs: the one way from names to paths."""
        return directory / self.lab / self.pod

    def __str__(self) -> str:
        return f"{self.lab}/{self.pod}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    name: str
    capacity_bytes: int
    interface: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A NIC of the PDF. `mac` is lower case; None where the PDF has the all-zero MAC (libvirt assigns)."""

    name: str
    mac: str | None = None
    vlan: int | None = None
    address: IpAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteManagement:
    """`hypervisor` is None where the address is a BMC's."""

    type: str
    hypervisor: HypervisorUri | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    name: str
    type: NodeType
    arch: Arch
    cpus: int
    cores: int
    memory_bytes: int
    disks: tuple[Disk, ...]
    remote_management: RemoteManagement | None
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class StatedAddress:
    """An address that the PDF gives to something. `owner` says in words to what, `node` is the index of its node.

    `node` is None for what belongs to the jump host.
    """

    address: IpAddress
    owner: str
    node: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pdf:
    """`nodes` keeps the file's order. The jump host is whatever machine iecpod runs on.

    `places` are the numbers (from 0) that host name, addresses and pod CIDR of each node follow from; empty where they
    are the nodes' indexes. `planned_nodes` is how many nodes ranges leave room for; None is as many as there are.
    `stated_addresses` are those of BMCs and NICs, the jump host's too.
    """

    version: str
    nodes: tuple[Node, ...]
    stated_addresses: tuple[StatedAddress, ...] = ()
    places: tuple[int, ...] = ()
    planned_nodes: int | None = None

    def place(self, index: int) -> int:
        return self.places[index] if self.places else index

    @property
    def place_count(self) -> int:
        """One more than the highest place."""
        return max((self.place(index) for index in range(len(self.nodes))), default=-1) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network of `idf.net_config`; `interface` indexes a node's NICs; `vlan` None means untagged."""

    name: NetworkName
    interface: int
    cidr: IpNetwork | None
    vlan: int | None = None
    ip_range: tuple[IpAddress, IpAddress] | None = None
    gateway: IpAddress | None = None
    dns: tuple[IpAddress, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDevices:
    """In-guest names (and PCI addresses) of a node's NICs, by NIC index (`idf.fuel.network.node[i]`)."""

    interfaces: tuple[str, ...]
    busaddr: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Idf:
    """`bridges` holds only the networks for which the IDF names a bridge; `upstream_proxy` is a URL or empty."""

    version: str
    networks: tuple[Network, ...]
    bridges: tuple[tuple[NetworkName, str], ...]
    interface_mtu: int
    ntp_servers: tuple[str, ...]
    node_devices: tuple[NodeDevices, ...]
    public_pool: tuple[IpAddress, IpAddress] | None = None
    upstream_proxy: str = ""

    def network(self, name: NetworkName) -> Network | None:
        return next((network for network in self.networks if network.name is name), None)

    def bridge(self, name: NetworkName) -> str | None:
        return dict(self.bridges).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """A valid PDF and IDF that fit each other."""

    ref: PodRef
    pdf: Pdf = field(repr=False)  # may hold what was a secret in the file
    idf: Idf = field(repr=False)
    pdf_file: str
    idf_file: str
