"""`PodOrder` × what the hypervisor is → the networks, storage and domains of a POD, computed before any is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from iecpod.checkpoints.manifest import ID
from iecpod.design.deadline_factor import guest_speed_of
from iecpod.design.machines import BundleDisk
from iecpod.design.pod_design import PodDesign, PodOrder, design_pod
from iecpod.model import Arch, Node, PodSpec
from iecpod.naming import resource_name, resource_uuid
from iecpod.options.choices import VirtType
from iecpod.providers.libvirt.networking.networks import design_networks, design_vlan_links
from iecpod.providers.libvirt.networking.nics import MachineNics
from iecpod.providers.libvirt.networking.wires import Wire, find_wires
from iecpod.providers.libvirt.objects import (
    DesiredDomain,
    DesiredNetwork,
    Emulator,
    Firmware,
    HostFacts,
    Kind,
    VlanLink,
)

_MIB = 1024 * 1024

#: Stand in for what the hypervisor lacks, so that the preflight can name that together with everything else.
_NO_FIRMWARE = Firmware("", "")
_NO_EMULATOR = Emulator("", "", kvm=False, firmware=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredMachines:
    """`pool_path` is the directory of the POD's storage pool; `domains` are in the order of the PDF's nodes.

    `wires` are what their NICs are plugged into; `vlan_links` join networks to those that carry several.
    """

    pod: PodDesign
    networks: tuple[DesiredNetwork, ...]
    vlan_links: tuple[VlanLink, ...]
    pool_path: str
    domains: tuple[DesiredDomain, ...]
    wires: tuple[Wire, ...]

    @property
    def architectures(self) -> tuple[Arch, ...]:
        return tuple(dict.fromkeys(domain.arch for domain in self.domains))

    @property
    def control_plane_domain(self) -> str:
        """The name of the domain that the cluster lives on."""
        hostname = self.pod.cluster.control_plane.hostname
        return next(domain.name for domain in self.domains if domain.hostname == hostname)


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervisorInputs:
    """What the hypervisor decides about the machines of a POD.

    `lab_bridges` are the host's Linux bridges that no libvirt network of this POD made; `pod_dir` is the POD's
    directory on the hypervisor. `bundle_disks` are what domains are to have, by architecture; empty where bundles come
    another way.
    """

    facts: HostFacts
    lab_bridges: frozenset[str]
    virt_type: VirtType
    pod_dir: PurePosixPath
    bundle_disks: Mapping[Arch, BundleDisk] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Design:
    order: PodOrder
    host: HypervisorInputs
    wires: tuple[Wire, ...]
    plugs: MachineNics

    @property
    def spec(self) -> PodSpec:
        return self.order.spec


def design_machines(order: PodOrder, host: HypervisorInputs) -> DesiredMachines:
    """Computes the whole POD; whether this hypervisor can run it is for the preflight to say."""
    spec = order.spec
    wires = find_wires(spec.idf, host.lab_bridges)
    inputs = _Design(order, host, wires, MachineNics(order, wires))
    networks = design_networks(order, wires)
    return DesiredMachines(
        pod=design_pod(order, low_overhead=guest_speed_of(host.virt_type).low_overhead),
        networks=networks,
        vlan_links=design_vlan_links(spec, wires, networks),
        pool_path=str(host.pod_dir / "pool"),
        domains=tuple(_design_domain(inputs, index, node) for index, node in enumerate(spec.pdf.nodes)),
        wires=wires,
    )


def _design_domain(inputs: _Design, index: int, node: Node) -> DesiredDomain:
    ref = inputs.spec.ref
    hostname = inputs.order.hostnames[index]
    name = resource_name(ref, hostname)
    root_volume, seed_volume = volume_names(hostname)
    emulator = inputs.host.facts.emulators.get(node.arch, _NO_EMULATOR)
    return DesiredDomain(
        hostname=hostname,
        name=name,
        uuid=str(resource_uuid(ref, Kind.DOMAIN.value, name)),
        arch=node.arch,
        vcpus=inputs.order.options.vcpus or node.cpus * node.cores,
        memory_mib=inputs.order.options.memory_mib or node.memory_bytes // _MIB,
        virt_type=inputs.host.virt_type,
        emulator=emulator.path,
        machine=emulator.machine,
        firmware=emulator.firmware or _NO_FIRMWARE,
        nvram_path=str(inputs.host.pod_dir / "nvram" / f"{hostname}.fd"),
        console_log=str(inputs.host.pod_dir / "console" / f"{hostname}.log"),
        pool_path=str(inputs.host.pod_dir / "pool"),
        root_volume=root_volume,
        root_bytes=node.disks[0].capacity_bytes,
        seed_volume=seed_volume,
        vnics=inputs.plugs.of_node(index, hostname),
        disposable=bool(inputs.order.options.disposable),
        bundle_disk=inputs.host.bundle_disks.get(node.arch),
    )


def volume_names(hostname: str) -> tuple[str, str]:
    """A domain's root disk and its seed, in the POD's pool."""
    return f"{hostname}.qcow2", f"{hostname}-seed.iso"


def overlay_name(hostname: str, checkpoint: str) -> str:
    """The disk that a domain writes to since that checkpoint was saved, in the POD's pool."""
    return f"{hostname}-{checkpoint}.qcow2"


def is_overlay(hostname: str, volume: str) -> bool:
    """Whether a volume of the POD's pool is such a disk, of whichever checkpoint."""
    return re.fullmatch(overlay_name(re.escape(hostname), ID.pattern), volume) is not None
