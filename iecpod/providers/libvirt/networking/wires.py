"""What each NIC of the nodes is plugged into: the networks that the IDF puts on it, told apart by their tags."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from iecpod.model import VIRTUAL_NETWORKS, Idf, Network, NetworkName
from iecpod.naming import DEFAULT_BRIDGES

#: Each bus below the highest costs a root port, and QEMU's machines have room for some of them.
_MOST_BUSES = 33


@dataclass(frozen=True, slots=True)
class Wire:
    """`interface` is the index of the NIC on every node; `networks` are in Fuel's order, at most one without a tag.

    `bridges` are those of the lab that carry the networks, None for a network that iecpod makes. On a wire that can be
    plugged in they are all the same (`is_whole`).
    """

    interface: int
    networks: tuple[Network, ...]
    bridges: tuple[str | None, ...]

    @property
    def lab_bridge(self) -> str | None:
        """The lab's own bridge: tags are the lab's, too."""
        return next((bridge for bridge in self.bridges if bridge), None)

    @property
    def is_whole(self) -> bool:
        return len(set(self.bridges)) == 1

    @property
    def untagged(self) -> Network | None:
        return next((network for network in self.networks if network.vlan is None), None)

    @property
    def tagged(self) -> tuple[Network, ...]:
        return tuple(network for network in self.networks if network.vlan is not None)


def find_wires(idf: Idf, lab_bridges: Collection[str]) -> tuple[Wire, ...]:
    """In the order of the IDF's `interface`, which is the order of the NICs on the bus."""
    carried: dict[int, list[Network]] = {}
    for name in VIRTUAL_NETWORKS:
        network = idf.network(name)
        if network is not None and network.cidr is not None:
            carried.setdefault(network.interface, []).append(network)
    return tuple(
        Wire(interface, networks, tuple(_lab_bridge(idf, network.name, lab_bridges) for network in networks))
        for interface, networks in ((interface, _told_apart(carried[interface])) for interface in sorted(carried))
    )


def _lab_bridge(idf: Idf, name: NetworkName, lab_bridges: Collection[str]) -> str | None:
    """Where the IDF names one and the host has it."""
    named = idf.bridge(name)
    return named if named in lab_bridges else None


def _told_apart(networks: Sequence[Network]) -> tuple[Network, ...]:
    """Without a private network that has no tag of its own beside one that has none: its tags are tenants'."""
    untagged = [network.name for network in networks if network.vlan is None]
    tenants = {NetworkName.PRIVATE} if len(untagged) > 1 else set()
    return tuple(network for network in networks if network.vlan is not None or network.name not in tenants)


def bridge_names(idf: Idf, names: Sequence[NetworkName]) -> dict[NetworkName, str]:
    """Of networks that iecpod makes: the IDF's, else Fuel's; where another network has that already, one more."""
    found: dict[NetworkName, str] = {}
    for name in names:
        candidates = (idf.bridge(name), DEFAULT_BRIDGES[name], f"{DEFAULT_BRIDGES[name]}-{name.value}")
        found[name] = next(bridge for bridge in candidates if bridge and bridge not in found.values())
    return found


def plan_buses(devices: Sequence[str]) -> tuple[int, ...]:
    """The PCI buses of a node's NICs, whose names on the node are `devices`.

    Bus N makes the node name its NIC `enpNs0` by itself. Buses count from 1 unless a name would be that of another
    NIC, which the node could not rename then: NICs are where they have their names from the start, or where no name is.
    """
    own = [f"enp{bus}s0" for bus in range(1, len(devices) + 1)]
    if not any(name in devices and name != device for name, device in zip(own, devices, strict=True)):
        return tuple(range(1, len(devices) + 1))
    wanted = {bus: device for bus in range(1, _MOST_BUSES) if (device := f"enp{bus}s0") in devices}
    free = (bus for bus in range(1, _MOST_BUSES) if bus not in wanted)
    by_name = {device: bus for bus, device in wanted.items()}
    return tuple(by_name[device] if device in by_name else next(free) for device in devices)
