"""Who gets which address: Fuel's allocation (Pharos `net_map.j2`, `semantics.md` 4.5) and a compact one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Literal, TypeAlias

from iecpod.descriptors.addresses.default_route import find_way_out
from iecpod.descriptors.addresses.dhcp_range import AddressRange, check_dhcp_range
from iecpod.errors import Problem
from iecpod.model import IpAddress, IpNetwork, Network, NetworkName, PodSpec, StatedAddress

Scheme: TypeAlias = Literal["fuel", "compact", "stated"]


@dataclass(frozen=True, slots=True)
class _Slots:
    """Fuel's fixed list of hosts on one network: its length, and the position (from 1) of the first control node."""

    count: int
    first_control: int


#: cfg, mas, proxies, then three (on mgmt: and a virtual address) of gtw, kvm, dbs, msg, mdb, ctl, odl, mon, log, mtr;
#: IEC nodes borrow the three `ctl` places.
_SLOTS = {
    NetworkName.ADMIN: _Slots(count=34, first_control=20),
    NetworkName.MGMT: _Slots(count=44, first_control=26),
    NetworkName.PUBLIC: _Slots(count=10, first_control=7),
}
_CONTROL_SLOTS = 3
#: Place of `mas01` on admin: the gateway of that network, MaaS or not.
_GATEWAY_SLOT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Addresses of a POD, by index of the PDF's node. `private` is left unconfigured, as under Fuel.

    `host_addresses` are the host's own on networks that it carries; ranges are inclusive, None where nothing is left.
    With an error among `problems` some addresses are missing.
    """

    scheme: Scheme
    node_addresses: Mapping[tuple[int, NetworkName], IpAddress]
    host_addresses: Mapping[NetworkName, IpAddress]
    admin_dhcp_range: AddressRange | None
    public_pool: AddressRange | None
    problems: tuple[Problem, ...] = field(default=())


def allocate(pod: PodSpec, scheme: Scheme) -> Allocation:
    """Every address of the POD; what does not fit the networks is in `problems`.

    `fuel` keeps the addresses that jobs of the IEC labs expect; nodes beyond the third follow the list as Fuel's
    computes do. `compact` gives nodes the first free addresses of each network's ip-range. `stated` are the addresses
    that machines have already, by the PDF.
    """
    if scheme == "stated":
        return _as_stated(pod)
    nodes: dict[tuple[int, NetworkName], IpAddress] = {}
    hosts: dict[NetworkName, IpAddress] = {}
    pools: dict[NetworkName, AddressRange | None] = {}
    problems: list[Problem] = []
    for name in _SLOTS:
        network = pod.idf.network(name)
        if network is not None and network.cidr is not None:
            stated = tuple(stated for stated in pod.pdf.stated_addresses if stated.address in network.cidr)
            layout = _NetworkLayout(
                network,
                network.cidr,
                _places(pod),
                scheme,
                stated,
                _planned_nodes(pod),
                network == find_way_out(pod.idf),
            )
            hosts[name] = layout.host_address
            addresses = layout.node_addresses()
            nodes.update({(index, name): address for index, address in addresses.items()})
            pools[name] = layout.pool(addresses)
            problems.extend(_check_network(pod, layout, addresses))
    problems.extend(check_dhcp_range(pod, pools.get(NetworkName.ADMIN)))
    problems.extend(_check_public_pool(pod, nodes, hosts.get(NetworkName.PUBLIC)))
    return Allocation(
        scheme=scheme,
        node_addresses=nodes,
        host_addresses=hosts,
        admin_dhcp_range=pools.get(NetworkName.ADMIN),
        public_pool=pod.idf.public_pool or pools.get(NetworkName.PUBLIC),
        problems=tuple(problems),
    )


def _places(pod: PodSpec) -> tuple[int, ...]:
    return tuple(pod.pdf.place(index) for index in range(len(pod.pdf.nodes)))


def _planned_nodes(pod: PodSpec) -> int:
    """A node that is added to a POD changes no range of its networks, which machines are attached to."""
    return pod.pdf.place_count if pod.pdf.planned_nodes is None else pod.pdf.planned_nodes


def _as_stated(pod: PodSpec) -> Allocation:
    """Nothing is handed out; on mgmt every node needs an address."""
    nodes: dict[tuple[int, NetworkName], IpAddress] = {}
    problems: list[Problem] = []
    for network in pod.idf.networks:
        for index, node in enumerate(pod.pdf.nodes):
            nic = node.interfaces[network.interface] if network.interface < len(node.interfaces) else None
            address = nic.address if nic is not None else None
            if address is not None and network.cidr is not None and address in network.cidr:
                nodes[index, network.name] = address
            elif network.name is NetworkName.MGMT:
                where = f"none in {network.cidr}" if address is None else f"{address}, which is not in {network.cidr}"
                problems.append(
                    Problem(
                        message=f"{node.name} has no address on mgmt: its NIC {network.interface} (from 0) has {where}",
                        remedy="write the address that the machine has there",
                        file=pod.pdf_file,
                        path=f"nodes[{index}].interfaces[{network.interface}].address",
                        rule="address-not-stated",
                    )
                )
    return Allocation(
        scheme="stated",
        node_addresses=nodes,
        host_addresses={},
        admin_dhcp_range=None,
        public_pool=pod.idf.public_pool,
        problems=tuple(problems),
    )


@dataclass(frozen=True, slots=True)
class _NetworkLayout:
    """The arithmetic of one network.

    `places` are the nodes' by index. The PDF gives `stated` addresses away. Ranges leave room for `planned_nodes`.
    `is_way_out` is for the network that the nodes' default route is on.
    """

    network: Network
    cidr: IpNetwork
    places: tuple[int, ...]
    scheme: Scheme
    stated: tuple[StatedAddress, ...]
    planned_nodes: int
    is_way_out: bool

    @property
    def first_host(self) -> IpAddress:
        return self.cidr.network_address + (1 if self.cidr.prefixlen < 31 else 0)

    @property
    def last_host(self) -> IpAddress:
        return self.cidr.broadcast_address - (1 if self.cidr.prefixlen < 31 else 0)

    @property
    def last_usable(self) -> IpAddress:
        """The end of ip-range, which Fuel does not look at and iecpod keeps to."""
        return min(self.network.ip_range[1], self.last_host) if self.network.ip_range else self.last_host

    @property
    def host_address(self) -> IpAddress:
        """The gateway that nodes use, so that they have a way out; else, on admin, Fuel's gateway place."""
        name, gateway = self.network.name, self.network.gateway
        if self.is_way_out and gateway and gateway in self.cidr:
            return gateway
        in_place = self._at(_GATEWAY_SLOT) if name is NetworkName.ADMIN and self.scheme == "fuel" else None
        return in_place or self.first_host

    def _at(self, slot: int) -> IpAddress | None:
        """Fuel counts from the start of ip-range, and from 1 without one."""
        ip_range = self.network.ip_range
        start = int(ip_range[0]) - int(self.cidr.network_address) if ip_range else 1
        number = int(self.cidr.network_address) + start + slot
        return self._address(number) if int(self.first_host) <= number <= int(self.last_host) else None

    def _address(self, number: int) -> IpAddress:
        return self.cidr.network_address + (number - int(self.cidr.network_address))

    def node_addresses(self) -> dict[int, IpAddress]:
        """By index of the node; one that the network has no room for is left out."""
        if self.scheme == "compact":
            free = dict(enumerate(islice(self._free_addresses(), max(self.places, default=-1) + 1)))
            return {index: free[place] for index, place in enumerate(self.places) if place in free}
        slots = _SLOTS[self.network.name]
        found = {
            index: self._at(
                slots.first_control + place if place < _CONTROL_SLOTS else slots.count + place - _CONTROL_SLOTS + 1
            )
            for index, place in enumerate(self.places)
        }
        return {index: address for index, address in found.items() if address is not None}

    def _free_addresses(self) -> Iterator[IpAddress]:
        first = max(self.network.ip_range[0], self.first_host) if self.network.ip_range else self.first_host
        taken = {int(address) for address in self._reserved()}
        for number in range(int(first), int(self.last_usable) + 1):
            if number not in taken:
                yield self._address(number)

    def _reserved(self) -> Iterator[IpAddress]:
        """Addresses that this allocation must not give to nodes."""
        yield self.host_address
        if self.network.gateway is not None:
            yield self.network.gateway
        yield from (stated.address for stated in self.stated)

    def owner_of(self, address: IpAddress, node: int) -> str:
        """Who has the address that a node would get; empty where it is free."""
        if address in (self.network.gateway, self.host_address):
            return "the gateway" if address == self.network.gateway else "the host"
        return next((s.owner for s in self.stated if s.address == address and s.node != node), "")

    def pool(self, taken: Mapping[int, IpAddress]) -> AddressRange | None:
        """What is left behind the nodes: for DHCP on admin, for workloads on public (whose last host Fuel spares)."""
        after_slots = self._at(_SLOTS[self.network.name].count + max(0, self.planned_nodes - _CONTROL_SLOTS) + 1)
        # As numbers: one step beyond either end of all addresses is none.
        last_taken = int(max(taken.values(), default=self.first_host))
        if self.scheme == "fuel" and after_slots is None:
            return None
        first = int(after_slots) if self.scheme == "fuel" and after_slots else last_taken + 1
        last = int(self.last_usable)
        if self.network.name is NetworkName.PUBLIC:
            last = min(last, int(self.last_host) - 1)
        # The longest stretch without the addresses of host, gateway and the PDF, which may be anywhere.
        reserved = {int(address) for address in self._reserved()}
        edges = [first - 1, *sorted(number for number in reserved if first <= number <= last), last + 1]
        first, last = max(((low + 1, high - 1) for low, high in pairwise(edges)), key=lambda ends: ends[1] - ends[0])
        return (self._address(first), self._address(last)) if first <= last else None


def _check_network(pod: PodSpec, layout: _NetworkLayout, addresses: Mapping[int, IpAddress]) -> Iterator[Problem]:
    """Nodes without an address, outside of ip-range, or with an address in use."""
    network, cidr = layout.network, layout.cidr
    names = [node.name for node in pod.pdf.nodes]
    where = f"{network.ip_range[0]}-{network.ip_range[1]}" if network.ip_range else str(cidr)
    homeless = [name for index, name in enumerate(names) if index not in addresses]
    if homeless:
        message = f"{where} has no address for {_join(homeless)}"
        yield _problem(pod, network.name, "ip-range", message, _ROOM_REMEDY, "address-exhausted")
    beyond = [f"{names[index]} ({address})" for index, address in addresses.items() if address > layout.last_usable]
    if beyond:
        message = f"the range {where} ends before the addresses of {_join(beyond)}"
        yield _problem(pod, network.name, "ip-range", message, _ROOM_REMEDY, "address-beyond-range")
    for index, address in addresses.items():
        owner = layout.owner_of(address, index)
        if owner:
            message = f"{names[index]} would get {address}, which is the address of {owner}"
            remedy = "move ip-range, so that it begins behind that address"
            yield _problem(pod, network.name, "ip-range", message, remedy, "address-taken")
    if network.name is NetworkName.PUBLIC and network.gateway is not None and network.gateway not in cidr:
        message = f"nodes cannot reach the gateway {network.gateway}: it is outside {cidr}"
        yield _problem(pod, network.name, "gateway", message, "correct gateway, network or mask", "gateway-unreachable")


def _check_public_pool(
    pod: PodSpec, nodes: Mapping[tuple[int, NetworkName], IpAddress], host: IpAddress | None
) -> Iterator[Problem]:
    pool, public = pod.idf.public_pool, pod.idf.network(NetworkName.PUBLIC)
    if pool is None or public is None:
        return
    owners = {
        address: f"{pod.pdf.nodes[index].name} would get {address}"
        for (index, name), address in nodes.items()
        if name is NetworkName.PUBLIC
    }
    if host is not None:
        owners[host] = f"the host would get {host}"
    if public.gateway is not None:
        owners[public.gateway] = f"the gateway has {public.gateway}"
    for address, owner in owners.items():
        if pool[0] <= address <= pool[1]:
            yield Problem(
                message=f"{owner}, which is in the public pool",
                remedy="let the pool begin behind the addresses of host, gateway and nodes, or end before",
                file=pod.idf_file,
                path="idf.fuel.network.public_pool",
                rule="address-in-pool",
            )


_ROOM_REMEDY = "make the range larger, or use the compact addressing"


def _problem(pod: PodSpec, name: NetworkName, key: str, message: str, remedy: str, rule: str) -> Problem:
    path = f"idf.net_config.{name.value}.{key}"
    return Problem(message=message, remedy=remedy, file=pod.idf_file, path=path, rule=rule)


def _join(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
