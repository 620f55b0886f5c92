"""`PodOrder` × what the hypervisor is → the networks, storage and domains of a POD, computed before any is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import PurePosixPath

from iecpod.design.machines import BundleDisk, VirtType
from iecpod.design.pace import pace_of
from iecpod.design.pod import PodDesign, PodOrder, design_pod, guest_device
from iecpod.model import VIRTUAL_NETWORKS, Arch, Network, NetworkName, Node, PodSpec
from iecpod.naming import DEFAULT_BRIDGES, mac_address, resource_name, resource_uuid
from iecpod.providers.libvirt.objects import (
    DesiredDomain,
    DesiredNetwork,
    Emulator,
    Firmware,
    HostFacts,
    Kind,
    NetworkMode,
    Vnic,
)

_MIB = 1024 * 1024

#: NAT gives nodes a way out (and admin its DHCP); the cluster's own networks stay inside (`semantics.md` 4.4).
_MODES = {
    NetworkName.ADMIN: NetworkMode.NAT,
    NetworkName.MGMT: NetworkMode.ISOLATED,
    NetworkName.PRIVATE: NetworkMode.ISOLATED,
    NetworkName.PUBLIC: NetworkMode.NAT,
}

#: Stand in for what the hypervisor lacks, so that the preflight can name that together with everything else.
_NO_FIRMWARE = Firmware("", "")
_NO_EMULATOR = Emulator("", "", kvm=False, firmware=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredMachines:
    """`pool_path` is the directory of the POD's storage pool; `domains` are in the order of the PDF's nodes."""

    pod: PodDesign
    networks: tuple[DesiredNetwork, ...]
    pool_path: str
    domains: tuple[DesiredDomain, ...]

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

    @property
    def spec(self) -> PodSpec:
        return self.order.spec


def design_machines(order: PodOrder, host: HypervisorInputs) -> DesiredMachines:
    """Computes the whole POD; whether this hypervisor can run it is for the preflight to say."""
    spec, inputs = order.spec, _Design(order, host)
    return DesiredMachines(
        pod=design_pod(order, low_overhead=pace_of(host.virt_type).low_overhead),
        networks=tuple(
            _design_network(inputs, network)
            for network in _carried_networks(spec)
            if not _lab_bridge(inputs, network.name)
        ),
        pool_path=str(host.pod_dir / "pool"),
        domains=tuple(_design_domain(inputs, index, node) for index, node in enumerate(spec.pdf.nodes)),
    )


def _carried_networks(spec: PodSpec) -> tuple[Network, ...]:
    found = (spec.idf.network(name) for name in VIRTUAL_NETWORKS)
    return tuple(network for network in found if network is not None and network.cidr is not None)


def _lab_bridge(inputs: _Design, name: NetworkName) -> str | None:
    """The lab's own Linux bridge, where the IDF names one and the host has it."""
    named = inputs.spec.idf.bridge(name)
    return named if named in inputs.host.lab_bridges else None


def _design_network(inputs: _Design, network: Network) -> DesiredNetwork:
    spec, allocation = inputs.spec, inputs.order.allocation
    assert network.cidr is not None  # _carried_networks leaves those out
    name = resource_name(spec.ref, network.name.value)
    return DesiredNetwork(
        network=network.name,
        name=name,
        uuid=str(resource_uuid(spec.ref, Kind.NETWORK.value, name)),
        bridge=spec.idf.bridge(network.name) or DEFAULT_BRIDGES[network.name],
        mode=_MODES[network.name],
        cidr=network.cidr,
        host_address=allocation.host_addresses.get(network.name),
        dhcp_range=allocation.admin_dhcp_range if network.name is NetworkName.ADMIN else None,
        mtu=spec.idf.interface_mtu,
    )


def _design_domain(inputs: _Design, index: int, node: Node) -> DesiredDomain:
    spec, ref = inputs.spec, inputs.spec.ref
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
        vnics=tuple(_design_vnic(inputs, index, network) for network in _carried_networks(spec)),
        disposable=bool(inputs.order.options.disposable),
        bundle_disk=inputs.host.bundle_disks.get(node.arch),
    )


def volume_names(hostname: str) -> tuple[str, str]:
    """A domain's root disk and its seed, in the POD's pool."""
    return f"{hostname}.qcow2", f"{hostname}-seed.iso"


def _design_vnic(inputs: _Design, index: int, network: Network) -> Vnic:
    spec, allocation = inputs.spec, inputs.order.allocation
    assert network.cidr is not None
    address = allocation.node_addresses.get((index, network.name))
    lab_bridge = _lab_bridge(inputs, network.name)
    is_public = network.name is NetworkName.PUBLIC
    return Vnic(
        network=network.name,
        mac=_mac(spec, inputs.order.hostnames[index], index, network),
        guest_device=guest_device(spec, index, network.interface),
        vlan=network.vlan,
        address=IPv4Interface((address, network.cidr.prefixlen)) if address else None,
        gateway=(network.gateway or allocation.host_addresses.get(network.name)) if is_public else None,
        dns=network.dns if is_public else (),
        mtu=spec.idf.interface_mtu,
        libvirt_network=None if lab_bridge else resource_name(spec.ref, network.name.value),
        host_bridge=lab_bridge,
    )


def _mac(spec: PodSpec, hostname: str, index: int, network: Network) -> str:
    """The PDF's MAC where it states one, else a stable one of ours."""
    interfaces = spec.pdf.nodes[index].interfaces
    stated = interfaces[network.interface].mac if network.interface < len(interfaces) else None
    return stated or mac_address(spec.ref, hostname, network.name)
