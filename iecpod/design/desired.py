"""`PodSpec` × scenario × release × host → `DesiredPod`: every object of the POD, computed before any is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from pathlib import PurePosixPath

from iecpod.descriptors.addressing import Allocation
from iecpod.design.cluster import ClusterNode, DesiredCluster, node_pod_cidr
from iecpod.design.pace import pace_of
from iecpod.design.release import Release
from iecpod.design.resources import (
    BundleDisk,
    DesiredDomain,
    DesiredNetwork,
    Emulator,
    Firmware,
    HostFacts,
    Kind,
    NetworkMode,
    VirtType,
    Vnic,
)
from iecpod.design.scenario import Scenario
from iecpod.design.supply import Supply, complete_supply
from iecpod.model import VIRTUAL_NETWORKS, Arch, Network, NetworkName, Node, PodSpec
from iecpod.naming import DEFAULT_BRIDGES, mac_address, pool_name, resource_name, resource_uuid

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
class DesiredPod:
    """`pool_path` is the directory of the POD's storage pool; `domains` are in the order of the PDF's nodes.

    `supply` is complete: what was given, what the IDF says, and what the POD reaches directly.
    """

    spec: PodSpec
    scenario: Scenario
    networks: tuple[DesiredNetwork, ...]
    pool_name: str
    pool_uuid: str
    pool_path: str
    domains: tuple[DesiredDomain, ...]
    cluster: DesiredCluster
    supply: Supply

    @property
    def control_plane_domain(self) -> str:
        hostname = self.cluster.control_plane.hostname
        return next(domain.name for domain in self.domains if domain.hostname == hostname)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignInputs:
    """All that decides what a POD looks like.

    `lab_bridges` are the host's Linux bridges that no libvirt network of this POD made; `pod_dir` is the POD's
    directory on the hypervisor. `vcpus` and `memory_mib` are sizes of every node, None for those of the PDF.
    `bundle_disks` are what domains are to have, by architecture; empty where bundles come another way. `disposable` is
    whether a crash of the host may cost the POD.
    """

    spec: PodSpec
    allocation: Allocation
    scenario: Scenario
    release: Release
    supply: Supply
    facts: HostFacts
    lab_bridges: frozenset[str]
    virt_type: VirtType
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    pod_dir: PurePosixPath
    disposable: bool
    vcpus: int | None = None
    memory_mib: int | None = None
    bundle_disks: Mapping[Arch, BundleDisk] = field(default_factory=dict)


def design_pod(inputs: DesignInputs) -> DesiredPod:
    """Computes the whole POD; whether this hypervisor can run it is for the preflight to say."""
    spec, ref = inputs.spec, inputs.spec.ref
    cluster = _design_cluster(inputs)
    networks = tuple(
        _design_network(inputs, network) for network in _carried_networks(spec) if not _lab_bridge(inputs, network.name)
    )
    return DesiredPod(
        spec=spec,
        scenario=inputs.scenario,
        networks=networks,
        pool_name=pool_name(ref),
        pool_uuid=str(resource_uuid(ref, Kind.POOL.value, pool_name(ref))),
        pool_path=str(inputs.pod_dir / "pool"),
        domains=tuple(_design_domain(inputs, index, node) for index, node in enumerate(spec.pdf.nodes)),
        cluster=cluster,
        supply=complete_supply(inputs.supply, spec, cluster, inputs.scenario.dns_domain),
    )


def _carried_networks(spec: PodSpec) -> tuple[Network, ...]:
    found = (spec.idf.network(name) for name in VIRTUAL_NETWORKS)
    return tuple(network for network in found if network is not None and network.cidr is not None)


def _lab_bridge(inputs: DesignInputs, name: NetworkName) -> str | None:
    """The lab's own Linux bridge, where the IDF names one and the host has it."""
    named = inputs.spec.idf.bridge(name)
    return named if named in inputs.lab_bridges else None


def _design_network(inputs: DesignInputs, network: Network) -> DesiredNetwork:
    spec, allocation = inputs.spec, inputs.allocation
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


def _design_domain(inputs: DesignInputs, index: int, node: Node) -> DesiredDomain:
    spec, ref = inputs.spec, inputs.spec.ref
    hostname = inputs.scenario.hostname(index)
    name = resource_name(ref, hostname)
    emulator = inputs.facts.emulators.get(node.arch, _NO_EMULATOR)
    return DesiredDomain(
        hostname=hostname,
        name=name,
        uuid=str(resource_uuid(ref, Kind.DOMAIN.value, name)),
        arch=node.arch,
        vcpus=inputs.vcpus or node.cpus * node.cores,
        memory_mib=inputs.memory_mib or node.memory_bytes // _MIB,
        virt_type=inputs.virt_type,
        emulator=emulator.path,
        machine=emulator.machine,
        firmware=emulator.firmware or _NO_FIRMWARE,
        nvram_path=str(inputs.pod_dir / "nvram" / f"{hostname}.fd"),
        console_log=str(inputs.pod_dir / "console" / f"{hostname}.log"),
        pool_path=str(inputs.pod_dir / "pool"),
        root_volume=f"{hostname}.qcow2",
        root_bytes=node.disks[0].capacity_bytes,
        seed_volume=f"{hostname}-seed.iso",
        vnics=tuple(_design_vnic(inputs, index, network) for network in _carried_networks(spec)),
        disposable=inputs.disposable,
        bundle_disk=inputs.bundle_disks.get(node.arch),
    )


def _design_vnic(inputs: DesignInputs, index: int, network: Network) -> Vnic:
    spec, allocation = inputs.spec, inputs.allocation
    assert network.cidr is not None
    address = allocation.node_addresses.get((index, network.name))
    lab_bridge = _lab_bridge(inputs, network.name)
    is_public = network.name is NetworkName.PUBLIC
    return Vnic(
        network=network.name,
        mac=_mac(spec, inputs.scenario.hostname(index), index, network),
        guest_device=_guest_device(spec, index, network),
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


def _guest_device(spec: PodSpec, index: int, network: Network) -> str:
    devices = spec.idf.node_devices
    names = devices[index].interfaces if index < len(devices) else ()
    named = names[network.interface] if network.interface < len(names) else ""
    return named or f"enp{network.interface + 1}s0"


def _design_cluster(inputs: DesignInputs) -> DesiredCluster:
    spec, allocation = inputs.spec, inputs.allocation
    mgmt = spec.idf.network(NetworkName.MGMT)
    assert mgmt is not None and mgmt.cidr is not None  # a cross-check rule demands it
    nodes = tuple(
        ClusterNode(
            hostname=inputs.scenario.hostname(index),
            role=inputs.scenario.role(index),
            address=allocation.node_addresses[index, NetworkName.MGMT],
            mgmt_device=_guest_device(spec, index, mgmt) + (f".{mgmt.vlan}" if mgmt.vlan else ""),
            pod_cidr=node_pod_cidr(inputs.pod_cidr, index),
        )
        for index in range(len(spec.pdf.nodes))
    )
    return DesiredCluster(
        name=str(spec.ref).replace("/", "-"),
        arch=spec.pdf.nodes[0].arch,
        release=inputs.release,
        cni=inputs.scenario.cni,
        nodes=nodes,
        mgmt_cidr=mgmt.cidr,
        mgmt_mtu=spec.idf.interface_mtu,
        pod_cidr=inputs.pod_cidr,
        service_cidr=inputs.service_cidr,
        calm=pace_of(inputs.virt_type).calm,
    )
