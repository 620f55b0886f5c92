"""libvirt objects as values: what is to exist (`Resource`) and what was seen (`ObservedResource`)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from iecpod.design.machines import BundleDisk, Nic
from iecpod.model import Arch, NetworkName, PodRef
from iecpod.options.choices import VirtType


class Kind(str, enum.Enum):
    NETWORK = "network"
    POOL = "pool"
    VOLUME = "volume"
    DOMAIN = "domain"


class NetworkMode(str, enum.Enum):
    NAT = "nat"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class Mark:
    """The metadata of an object that iecpod made. `digest` is of what was rendered, `created` RFC 3339 UTC.

    `parts` are short digests of what the object was made from, by name; empty where its XML is all there is.
    `installation` is the UUID of the state directory that it was deployed from; empty in marks of earlier versions.
    """

    ref: PodRef
    run_id: str
    created: str
    digest: str
    parts: tuple[tuple[str, str], ...] = ()
    installation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """An object rendered for libvirt; `xml` carries the metadata, `digest` is of the XML without it.

    `parts` are as in its mark; `desired` is what was rendered, None for a pool. `earlier` are digest and parts that
    earlier versions of iecpod would have marked the same object with.
    """

    kind: Kind
    name: str
    uuid: str
    xml: str
    digest: str
    parts: tuple[tuple[str, str], ...] = ()
    desired: DesiredNetwork | DesiredDomain | None = None
    earlier: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedResource:
    """An object as libvirt shows it; a volume's name is `POOL/VOLUME`.

    `files` are the paths that vanish with it (NVRAM of a domain, directory of a pool); `cidrs` and `bridge` are a
    network's; `vcpus`, `memory_mib`, `macs`, `disks` (files) and `paused` a domain's. One that is paused is not active.
    `autostart` is whether it starts with libvirt.
    """

    kind: Kind
    name: str
    uuid: str
    mark: Mark | None
    active: bool
    files: tuple[str, ...] = ()
    bridge: str = ""
    cidrs: tuple[IPv4Network, ...] = ()
    vcpus: int = 0
    memory_mib: int = 0
    macs: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    autostart: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Firmware:
    """UEFI code (read-only) and the template of the variables, each a path on the hypervisor."""

    code: str
    nvram_template: str


@dataclass(frozen=True, slots=True)
class Emulator:
    """What the hypervisor can run for one architecture. `machine` is the canonical default (`q35`, `virt`)."""

    path: str
    machine: str
    kvm: bool
    firmware: Firmware | None


@dataclass(frozen=True, slots=True)
class Link:
    """A network device of a host; `mtu` in bytes."""

    name: str
    mtu: int
    is_bridge: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The hypervisor as libvirt describes it; `links` are the network devices where guests have bridges.

    `qemu_user` is whom QEMU runs as, where iecpod sees to that; then `has_kvm_device` is about the host itself, whether
    QEMU may use the device or not.
    """

    arch: str
    cpus: int
    memory_mib: int
    libvirt_version: str
    emulators: dict[Arch, Emulator] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    qemu_user: str = ""
    has_kvm_device: bool = False

    @property
    def bridges(self) -> tuple[str, ...]:
        """Names of the host's Linux bridges."""
        return tuple(link.name for link in self.links if link.is_bridge)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredNetwork:
    """A libvirt network that carries one IDF network; `host_address` None leaves the host off it.

    `network` and `cidr` are None for a trunk, which carries networks by their tags alone.
    """

    network: NetworkName | None
    name: str
    uuid: str
    bridge: str
    mode: NetworkMode
    cidr: IPv4Network | None
    host_address: IPv4Address | None
    dhcp_range: tuple[IPv4Address, IPv4Address] | None
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VlanLink:
    """Joins a network, untagged on the bridge of its own, to a trunk's bridge, where its frames have a tag."""

    vlan: int
    trunk: str
    bridge: str
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vnic(Nic):
    """A NIC of a domain, on a PCI bus of its own. Exactly one of `libvirt_network` and `host_bridge` is set."""

    bus: int
    libvirt_network: str | None
    host_bridge: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredDomain:
    """One VM. Sizes as the PDF says; paths are on the hypervisor.

    `root_volume` and `seed_volume` are names in the POD's pool, whose directory is `pool_path`. Disks of a `disposable`
    domain are not flushed, so a crash of the host may cost it. `bundle_disk` is of use until the bundle is installed; a
    domain without it gets the bundle over SSH. `hides_fsrm`: an emulated x86_64 processor has neither
    erms nor fsrm, and not the second alone.
    """

    hostname: str
    name: str
    uuid: str
    arch: Arch
    vcpus: int
    memory_mib: int
    virt_type: VirtType
    emulator: str
    machine: str
    firmware: Firmware
    nvram_path: str
    console_log: str
    pool_path: str
    root_volume: str
    root_bytes: int
    seed_volume: str
    vnics: tuple[Vnic, ...]
    disposable: bool
    bundle_disk: BundleDisk | None = None
    hides_fsrm: bool = True

    @property
    def root_bus(self) -> int:
        """The first PCI bus behind those of the NICs."""
        return max((vnic.bus for vnic in self.vnics), default=0) + 1
