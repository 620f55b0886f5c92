"""What `iecpod plan` shows of domains and networks."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.design.machines import Machine
from iecpod.options.choices import BundleVia
from iecpod.provider import Table
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.objects import DesiredDomain, DesiredNetwork, HostFacts


def machine_of(domain: DesiredDomain) -> Machine:
    return Machine(
        hostname=domain.hostname,
        name=f"domain {domain.name}",
        arch=domain.arch,
        vcpus=domain.vcpus,
        memory_mib=domain.memory_mib,
        disk_bytes=domain.root_bytes,
        description=f"{domain.machine}, {domain.virt_type.value}, UEFI",
        bundle_disk=domain.bundle_disk.uuid if domain.bundle_disk else "",
    )


def interface_table(machines: DesiredMachines) -> Table:
    header = ("NODE", "DEVICE", "NETWORK", "ADDRESS", "MAC", "MTU", "ATTACHED TO")
    return Table("Interfaces", header, tuple(_interface_rows(machines)))


def _interface_rows(machines: DesiredMachines) -> Iterator[tuple[str, ...]]:
    for domain in machines.domains:
        for vnic in domain.vnics:
            attached = f"network {vnic.libvirt_network}" if vnic.libvirt_network else f"bridge {vnic.host_bridge}"
            for network in vnic.networks:
                device, address = vnic.device_of(network), str(network.address or "-")
                yield domain.hostname, device, network.network.value, address, vnic.mac, str(vnic.mtu), attached


def network_table(machines: DesiredMachines) -> Table:
    header = ("NETWORK", "BRIDGE", "MODE", "CIDR", "HOST", "DHCP", "MTU")
    return Table("Networks", header, tuple(_network_row(network) for network in machines.networks))


def _network_row(network: DesiredNetwork) -> tuple[str, ...]:
    dhcp = network.dhcp_range
    return (
        network.name,
        network.bridge,
        network.mode.value,
        str(network.cidr or "-"),
        str(network.host_address or "-"),
        f"{dhcp[0]} - {dhcp[1]}" if dhcp else "-",
        str(network.mtu),
    )


def vlan_table(machines: DesiredMachines) -> Table:
    """Which networks a bridge carries by tags beside what is untagged there."""
    names = {network.bridge: network.name for network in machines.networks}
    rows = [(names[link.bridge], str(link.vlan), link.bridge, link.trunk) for link in machines.vlan_links]
    return Table("VLANs", ("NETWORK", "TAG", "BRIDGE", "TRUNK"), tuple(rows))


def settings_of(domain: DesiredDomain, via: BundleVia | None, facts: HostFacts) -> tuple[tuple[str, str], ...]:
    return (
        *([("bundle", _bundle(via, domain))] if via else []),
        ("disks", _disks(domain)),
        *([("QEMU", f"runs as {facts.qemu_user}")] if facts.qemu_user else []),
    )


def _disks(domain: DesiredDomain) -> str:
    if domain.disposable:
        return "disposable: writes are not flushed, and a crash of the host may cost the POD (cache=unsafe)"
    return "flushed as guests ask for it (cache=writeback)"


def _bundle(via: BundleVia, domain: DesiredDomain) -> str:
    if domain.bundle_disk is not None:
        return f"on a disk that new nodes share and only read, {domain.bundle_disk.path}"
    return "in the image" if via is BundleVia.IMAGE else "sent to each node over SSH"
