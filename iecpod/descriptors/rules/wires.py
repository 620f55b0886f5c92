"""Rules about networks that share a NIC or a bridge, distinguished by VLAN tags."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from iecpod.descriptors.rules.documents import NetworkView, PodView
from iecpod.descriptors.rules.machines import repeated
from iecpod.descriptors.rules.rule import Finding, error, warning
from iecpod.naming import nic_name

#: IFNAMSIZ, without the final zero.
_MOST_CHARACTERS = 15


@error(
    "nic-shared-on-virtual",
    reason="networks on one NIC are distinguished by their tags",
    source="IEEE 802.1Q",
    fixed="the networks could not be distinguished",
)
def nic_shared_on_virtual(pod: PodView) -> Iterator[Finding]:
    if pod.is_virtual:
        yield from _shared_nics(pod)


@warning("nic-shared", reason="two networks on one wire are one", source="zte/pod3, zte/pod9 and ericsson/pod2 do it")
def nic_shared(pod: PodView) -> Iterator[Finding]:
    if not pod.is_virtual:
        yield from _shared_nics(pod)


def _shared_nics(pod: PodView) -> Iterator[Finding]:
    for first, second in combinations(pod.core_networks, 2):
        if (
            first.interface is not None
            and first.interface == second.interface
            and _wire_tag(first) == _wire_tag(second)
        ):
            yield Finding(
                pod.idf,
                (*second.path, "interface"),
                f"{second.name} is on NIC {second.interface} with VLAN {second.tag}, and so is {first.name}",
                "give one of them another NIC or VLAN",
            )


def _wire_tag(network: NetworkView) -> str:
    """Ranges and lists are for tenants, which only private has; elsewhere the NIC is untagged (`semantics.md` 4.4)."""
    return network.tag if network.name == "private" or network.tag.isdecimal() else "native"


@warning("bridge-twice", reason="two networks on one bridge are one", source="libvirt networks")
def bridge_twice(pod: PodView) -> Iterator[Finding]:
    names = list(pod.bridges)
    for index, first in repeated(pod.bridges[name] or None for name in names):
        if _are_one_trunk(pod.network(names[index]), pod.network(names[first])):
            continue
        yield Finding(
            pod.idf,
            ("idf", "fuel", "jumphost", "bridges", names[index]),
            f"{names[index]} is on the bridge {pod.bridges[names[index]]!r}, and so is {names[first]}",
            "name another bridge, or ~ to let iecpod make one",
        )


def _are_one_trunk(one: NetworkView | None, other: NetworkView | None) -> bool:
    """Whether two networks come by one NIC, with tags that differ."""
    if one is None or other is None:
        return False
    return one.interface is not None and one.interface == other.interface and _wire_tag(one) != _wire_tag(other)


@error(
    "vlan-device-name",
    reason="a VLAN on a NIC is a device that is named NIC.TAG",
    source="Linux (IFNAMSIZ)",
    fixed="the node would have no such device",
)
def vlan_device_name(pod: PodView) -> Iterator[Finding]:
    for network in pod.core_networks:
        if not network.tag.isdecimal() or network.name == "storage":
            continue
        if network.interface is None or network.interface < 0:
            continue
        for devices in pod.devices or ():
            names = devices.names
            name = f"{nic_name(names, network.interface)}.{network.tag}"
            if len(name) > _MOST_CHARACTERS or name in names:
                why = "is that of another NIC" if name in names else f"has more than {_MOST_CHARACTERS} characters"
                yield Finding(
                    pod.idf,
                    (*devices.path, "interfaces", network.interface),
                    f"the node's device of {network.name} would be named {name!r}, which {why}",
                    "write a shorter name of the NIC" if name not in names else "name the other NIC differently",
                )
