"""The libvirt networks that a POD makes: one for each network that the lab has no bridge for, and trunks for tags."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address

from iecpod.descriptors.addresses.default_route import find_way_out
from iecpod.design.pod_design import PodOrder
from iecpod.model import Network, NetworkName, PodRef, PodSpec
from iecpod.naming import resource_name, resource_uuid
from iecpod.providers.libvirt.networking.wires import Wire, bridge_names
from iecpod.providers.libvirt.objects import DesiredNetwork, Kind, NetworkMode, VlanLink

#: NAT gives nodes a way out (and admin its DHCP); the cluster's own networks stay inside (`semantics.md` 4.4), unless
#: one of them is the way out.
_NAT = (NetworkName.ADMIN, NetworkName.PUBLIC)


def design_networks(order: PodOrder, wires: Sequence[Wire]) -> tuple[DesiredNetwork, ...]:
    """Those of the IDF first, in Fuel's order."""
    made = {network.name: network for wire in wires if wire.lab_bridge is None for network in wire.networks}
    names = [name for name in NetworkName if name in made]
    bridges = bridge_names(order.spec.idf, names)
    trunks = (_trunk(order.spec, wire) for wire in wires if _has_trunk(wire))
    return (*(_design_network(order, made[name], bridges[name]) for name in names), *trunks)


def gateway_of(order: PodOrder, wires: Sequence[Wire]) -> tuple[NetworkName, IPv4Address] | None:
    """Where nodes send what is in none of their networks: the IDF's gateway, or this host where it has the network.

    None where nothing is known to pass it on.
    """
    hosts, named = order.allocation.host_addresses, find_way_out(order.spec.idf)
    if named is not None:
        return named.name, named.gateway or hosts[named.name]
    made = {network.name for wire in wires if wire.lab_bridge is None for network in wire.networks}
    return (NetworkName.ADMIN, hosts[NetworkName.ADMIN]) if NetworkName.ADMIN in made else None


def design_vlan_links(spec: PodSpec, wires: Sequence[Wire], networks: Sequence[DesiredNetwork]) -> tuple[VlanLink, ...]:
    """One for each network with a tag that iecpod makes."""
    bridges = {network.name: network.bridge for network in networks}
    return tuple(
        VlanLink(
            vlan=network.vlan,
            trunk=bridges[carrier_name(spec.ref, wire)],
            bridge=bridges[network_name(spec.ref, network)],
            mtu=spec.idf.interface_mtu,
        )
        for wire in wires
        if wire.lab_bridge is None
        for network in wire.tagged
        if network.vlan is not None
    )


def carrier_name(ref: PodRef, wire: Wire) -> str:
    """The libvirt network that NICs are plugged into: that of the network without a tag, else a trunk."""
    if wire.untagged is not None:
        return network_name(ref, wire.untagged)
    return resource_name(ref, f"trunk{wire.interface}")


def network_name(ref: PodRef, network: Network) -> str:
    return resource_name(ref, network.name.value)


def _has_trunk(wire: Wire) -> bool:
    return wire.lab_bridge is None and wire.untagged is None


def trunk_bridge(ref: PodRef, interface: int) -> str:
    """No descriptor can name it, so it is another one for each POD of a host."""
    return f"trunk{interface}-{hashlib.sha256(str(ref).encode()).hexdigest()[:5]}"


def _design_network(order: PodOrder, network: Network, bridge: str) -> DesiredNetwork:
    spec, allocation = order.spec, order.allocation
    name = network_name(spec.ref, network)
    is_nat = network.name in _NAT or network == find_way_out(spec.idf)
    return DesiredNetwork(
        network=network.name,
        name=name,
        uuid=str(resource_uuid(spec.ref, Kind.NETWORK.value, name)),
        bridge=bridge,
        mode=NetworkMode.NAT if is_nat else NetworkMode.ISOLATED,
        cidr=network.cidr,
        host_address=allocation.host_addresses.get(network.name),
        dhcp_range=allocation.admin_dhcp_range if network.name is NetworkName.ADMIN else None,
        mtu=spec.idf.interface_mtu,
    )


def _trunk(spec: PodSpec, wire: Wire) -> DesiredNetwork:
    """Without the host, which has each network on a bridge of its own."""
    name = carrier_name(spec.ref, wire)
    return DesiredNetwork(
        network=None,
        name=name,
        uuid=str(resource_uuid(spec.ref, Kind.NETWORK.value, name)),
        bridge=trunk_bridge(spec.ref, wire.interface),
        mode=NetworkMode.ISOLATED,
        cidr=None,
        host_address=None,
        dhcp_range=None,
        mtu=spec.idf.interface_mtu,
    )
