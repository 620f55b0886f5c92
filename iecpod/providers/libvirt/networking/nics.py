"""The NICs of a POD's machines: where they sit, what they are plugged into, and the networks on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from iecpod.descriptors.addresses.default_route import find_way_out
from iecpod.descriptors.parse import DEFAULT_DNS
from iecpod.design.machines import NicNetwork
from iecpod.design.pod_design import PodOrder, guest_device
from iecpod.model import Network, NetworkName
from iecpod.naming import mac_address
from iecpod.providers.libvirt.networking.networks import carrier_name, gateway_of
from iecpod.providers.libvirt.networking.wires import Wire, plan_buses
from iecpod.providers.libvirt.objects import Vnic


@dataclass(frozen=True, slots=True)
class MachineNics:
    order: PodOrder
    wires: Sequence[Wire]

    def of_node(self, index: int, hostname: str) -> tuple[Vnic, ...]:
        """One for each wire, in its order on the bus."""
        devices = [guest_device(self.order.spec, index, wire.interface) for wire in self.wires]
        return tuple(
            self._design(index, hostname, wire, device, bus)
            for wire, device, bus in zip(self.wires, devices, plan_buses(devices), strict=True)
        )

    def _design(self, index: int, hostname: str, wire: Wire, device: str, bus: int) -> Vnic:
        spec = self.order.spec
        return Vnic(
            mac=self._mac(index, hostname, wire),
            guest_device=device,
            mtu=spec.idf.interface_mtu,
            networks=tuple(self._on_node(index, network) for network in wire.networks),
            bus=bus,
            libvirt_network=None if wire.lab_bridge else carrier_name(spec.ref, wire),
            host_bridge=wire.lab_bridge,
        )

    def _mac(self, index: int, hostname: str, wire: Wire) -> str:
        """The PDF's MAC where it states one, else a stable one of ours."""
        spec = self.order.spec
        interfaces = spec.pdf.nodes[index].interfaces
        stated = interfaces[wire.interface].mac if wire.interface < len(interfaces) else None
        return stated or mac_address(spec.ref, hostname, wire.networks[0].name)

    def _on_node(self, index: int, network: Network) -> NicNetwork:
        assert network.cidr is not None  # find_wires leaves those out
        address = self.order.allocation.node_addresses.get((index, network.name))
        way_out = gateway_of(self.order, self.wires)
        leads_out = way_out is not None and way_out[0] is network.name
        return NicNetwork(
            network=network.name,
            vlan=network.vlan,
            address=IPv4Interface((address, network.cidr.prefixlen)) if address else None,
            gateway=way_out[1] if way_out is not None and leads_out else None,
            routes=self._service_route() if way_out is None and network.name is NetworkName.MGMT else (),
            dns=self._name_servers() if leads_out or (way_out is None and network.name is NetworkName.MGMT) else (),
        )

    def _service_route(self) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
        """Without a default route, the kernel knows no way to a service, and never asks kube-proxy's rules.

        Any next hop on mgmt will do: with those rules no packet goes there.
        """
        return ((self.order.service_cidr, self.order.allocation.host_addresses[NetworkName.MGMT]),)

    def _name_servers(self) -> tuple[IPv4Address, ...]:
        """Those of the network that leads out, else of one that names some; Fuel's where there is a way out."""
        idf = self.order.spec.idf
        named = [network for network in (find_way_out(idf), *idf.networks) if network is not None and network.dns]
        if named:
            return named[0].dns
        return DEFAULT_DNS if gateway_of(self.order, self.wires) is not None else ()
