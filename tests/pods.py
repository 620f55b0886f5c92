"""A small POD as values: what tests of rendering and of the hypervisor define."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from iecpod import naming
from iecpod.design.machines import NicNetwork
from iecpod.design.owner import Owner
from iecpod.hypervisor_uri import HypervisorUri, parse_connect
from iecpod.model import VIRTUAL_NETWORKS, Arch, NetworkName, PodRef
from iecpod.options.choices import ProviderName, VirtType
from iecpod.options.site import Site
from iecpod.providers.libvirt.objects import DesiredDomain, DesiredNetwork, Firmware, Kind, NetworkMode, Vnic
from iecpod.providers.libvirt.xml import Stamp

REF = PodRef("unit", "pod1")
#: Of the state directory that tests deploy from.
INSTALLATION = "7f6a2f6e-0c57-4f0c-9a53-6f2b7d1f0a11"
STAMP = Stamp(REF, "run1", "2026-01-02T03:04:05Z", INSTALLATION)


def owner(ref: PodRef = REF, pod_dir: Path = Path("/var/lib/iecpod/unit/pod1")) -> Owner:
    return Owner(ref=ref, installation=INSTALLATION, pod_dir=pod_dir)


def site(uri: HypervisorUri | str) -> Site:
    return Site(ProviderName.LIBVIRT, uri if isinstance(uri, HypervisorUri) else parse_connect(uri))


def admin_network(ref: PodRef = REF) -> DesiredNetwork:
    """NAT with DHCP."""
    name = naming.resource_name(ref, "admin")
    return DesiredNetwork(
        network=NetworkName.ADMIN,
        name=name,
        uuid=str(naming.resource_uuid(ref, Kind.NETWORK.value, name)),
        bridge="pxebr",
        mode=NetworkMode.NAT,
        cidr=IPv4Network("192.168.11.0/24"),
        host_address=IPv4Address("192.168.11.3"),
        dhcp_range=(IPv4Address("192.168.11.36"), IPv4Address("192.168.11.254")),
        mtu=1500,
    )


def private_network(ref: PodRef = REF) -> DesiredNetwork:
    """Isolated, without the host on it."""
    name = naming.resource_name(ref, "private")
    return dataclasses.replace(
        admin_network(ref),
        network=NetworkName.PRIVATE,
        name=name,
        uuid=str(naming.resource_uuid(ref, Kind.NETWORK.value, name)),
        bridge="internal",
        mode=NetworkMode.ISOLATED,
        cidr=IPv4Network("10.1.0.0/16"),
        host_address=None,
        dhcp_range=None,
        mtu=9000,
    )


def vnic(ref: PodRef, hostname: str, index: int, *, host_bridge: str | None = None) -> Vnic:
    network = VIRTUAL_NETWORKS[index]
    return Vnic(
        mac=naming.mac_address(ref, hostname, network),
        guest_device=f"enp{index + 1}s0",
        mtu=1500,
        networks=(NicNetwork(network=network, address=IPv4Interface("192.168.11.21/24")),),
        bus=index + 1,
        libvirt_network=None if host_bridge else naming.resource_name(ref, network.value),
        host_bridge=host_bridge,
    )


def domain(
    ref: PodRef = REF, directory: Path = Path("/var/lib/iecpod/unit/pod1"), hostname: str = "iec01"
) -> DesiredDomain:
    """x86_64 under emulation, with a NIC on admin and one on private."""
    name = naming.resource_name(ref, hostname)
    return DesiredDomain(
        hostname=hostname,
        name=name,
        uuid=str(naming.resource_uuid(ref, Kind.DOMAIN.value, name)),
        arch=Arch.X86_64,
        vcpus=2,
        memory_mib=256,
        virt_type=VirtType.QEMU,
        emulator="/usr/bin/qemu-system-x86_64",
        machine="q35",
        firmware=Firmware("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        nvram_path=str(directory / "nvram" / f"{hostname}.fd"),
        console_log=str(directory / "console" / f"{hostname}.log"),
        pool_path=str(directory / "pool"),
        root_volume=f"{hostname}.qcow2",
        root_bytes=1 << 30,
        seed_volume=f"{hostname}-seed.iso",
        vnics=(vnic(ref, hostname, 0), dataclasses.replace(vnic(ref, hostname, 2), bus=2)),
        disposable=False,
    )
