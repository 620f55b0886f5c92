"""PDF and IDF of machines that were only given by their addresses: what `bootstrap` writes down of what it found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import count
from typing import Any

from iecpod.model import PodRef
from iecpod.providers.existing.node_facts import NodeFacts, NodeLink
from iecpod.yaml.document import dump_yaml_all

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NO_NAMES = ("localhost", "")
#: The PDF demands one of every node. `virtual` it is, too: of a machine that is there, iecpod uses neither.
_MANAGEMENT = {"type": "libvirt", "user": "none", "pass": "none", "address": "qemu:///system"}
#: Of an interface that is not known, or is another machine's, too: that is for the preflight to say, with all else.
_NO_MAC = "00:00:00:00:00:00"
_ANY_LINK = NodeLink("eth0", _NO_MAC, 1500, ())
_ANY_PREFIX = 24
_HEADER = "# Written by `iecpod bootstrap`, of what it found on the machines.\n"


@dataclass(frozen=True, slots=True)
class Description:
    """Text of both files, and the names of the nodes in their order."""

    pdf: str
    idf: str
    names: tuple[str, ...]


def describe(
    ref: PodRef,
    addresses: Sequence[IPv4Address],
    facts: Mapping[IPv4Address, NodeFacts],
    known: Mapping[IPv4Address, str] | None = None,
) -> Description:
    """The first is the control plane. `facts` are of the machines that answered, which are one at least.

    What is not known of a machine is as with the others: no deploy gets past it, and the preflight says why, with all
    else. `known` are names that machines of the POD have already, also of those that leave it.
    """
    links = {address: link for address, found in facts.items() if (link := found.link_of(address)) is not None}
    any_facts, any_link = next(iter(facts.values())), next(iter(links.values()), _ANY_LINK)
    names = _names(addresses, {address: found.hostname for address, found in facts.items()}, known or {})
    uses = Counter(link.mac for link in links.values())
    macs = {address: link.mac for address, link in links.items() if uses[link.mac] == 1}
    nodes = [
        _node(name, address, facts.get(address, any_facts), macs.get(address, _NO_MAC))
        for name, address in zip(names, addresses, strict=True)
    ]
    pdf = {
        "version": 1.0,
        "details": {
            "pod_owner": "iecpod bootstrap",
            "contact": "root@localhost.localdomain",
            "lab": ref.lab,
            "location": "any",
            "type": "production",
            "link": "https://wiki.akraino.org",
        },
        "jumphost": {**_machine("localhost", any_facts), "remote_management": _MANAGEMENT}
        | {"os": "any", "interfaces": [{"name": "nic1", "mac_address": _NO_MAC}]},
        "nodes": nodes,
    }
    cidr = _common_network(addresses, links)
    mgmt = {"interface": 0, "vlan": "native", "network": str(cidr.network_address), "mask": cidr.prefixlen}
    bridges = dict.fromkeys(("admin", "mgmt", "private", "public"))
    devices = [
        {"interfaces": [links.get(address, any_link).name], "busaddr": ["0000:00:00.0"]} for address in addresses
    ]
    network = {"interface_mtu": min((link.mtu for link in links.values()), default=any_link.mtu), "node": devices}
    idf = {
        "idf": {
            "version": 0.1,
            "net_config": {"mgmt": mgmt},
            "fuel": {"jumphost": {"bridges": bridges}, "network": network},
        }
    }
    return Description(_HEADER + dump_yaml_all([pdf]), _HEADER + dump_yaml_all([idf]), names)


def _names(
    addresses: Sequence[IPv4Address], hostnames: Mapping[IPv4Address, str], known: Mapping[IPv4Address, str]
) -> tuple[str, ...]:
    """The machines' own, where each has one of its own that can name a node of a cluster; else numbers.

    One that has not answered is named by its address.
    """
    own = {address: hostname.partition(".")[0] for address, hostname in hostnames.items() if address not in known}
    usable = all(_NAME.fullmatch(name) and name not in _NO_NAMES for name in own.values())
    taken = set(known.values())
    if not usable or len({*own.values()} - taken) < len(own):
        free = (name for number in count(1) if (name := f"node-{number}") not in taken)
        own = {address: next(free) for address in own}
    unknown = {address: f"node-{address}".replace(".", "-") for address in addresses}
    return tuple({**unknown, **own, **known}[address] for address in addresses)


def _machine(name: str, found: NodeFacts) -> dict[str, Any]:
    return {
        "name": name,
        "node": {
            "type": "virtual",
            "vendor": "any",
            "model": "any",
            "arch": found.machine,
            "cpus": 1,
            "cores": found.cpus or 1,
            "cpu_cflags": "any",
            "memory": f"{max(found.memory_mib or 0, 1)}M",
        },
        "disks": [
            {
                "name": "disk1",
                "disk_capacity": f"{max((found.free_mib or 0) // 1024, 1)}G",
                "disk_type": "ssd",
                "disk_interface": "virtio",
                "disk_rotation": 0,
            }
        ],
    }


def _node(name: str, address: IPv4Address, found: NodeFacts, mac: str) -> dict[str, Any]:
    nic = {"name": "nic1", "mac_address": mac, "vlan": "native", "address": str(address)}
    return {**_machine(name, found), "remote_management": _MANAGEMENT, "interfaces": [nic]}


def _common_network(addresses: Sequence[IPv4Address], links: Mapping[IPv4Address, NodeLink]) -> IPv4Network:
    """The smallest that holds all addresses and, if they share one, is the interfaces' own."""
    networks = (own.network for address, link in links.items() for own in link.addresses if own.ip == address)
    common = next(networks, IPv4Interface(f"{addresses[0]}/{_ANY_PREFIX}").network)
    while not all(address in common for address in addresses):
        common = common.supernet()
    return common
