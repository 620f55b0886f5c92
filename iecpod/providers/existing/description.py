"""PDF and IDF of machines that were only given by their addresses: what `bootstrap` writes down of what it found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from typing import Any

from iecpod.errors import Problem
from iecpod.model import PodRef
from iecpod.providers.existing.node_facts import NodeFacts, NodeLink
from iecpod.yaml.document import dump_yaml_all

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NO_NAMES = ("localhost", "")
#: The PDF demands one of every node. `virtual` it is, too: of a machine that is there, iecpod uses neither.
_MANAGEMENT = {"type": "libvirt", "user": "none", "pass": "none", "address": "qemu:///system"}
_HEADER = "# Written by `iecpod bootstrap`, of what it found on the machines.\n"


@dataclass(frozen=True, slots=True)
class Description:
    """Text of both files, and the names of the nodes in their order."""

    pdf: str
    idf: str
    names: tuple[str, ...]


def check_addresses(facts: Mapping[IPv4Address, NodeFacts]) -> list[Problem]:
    """Without an interface that has it, nothing can be described; behind NAT, a machine does not know its address."""
    return [
        Problem(
            path=f"node {address}",
            message=f"none of its interfaces has {address}",
            remedy="give the address that the nodes know each other by; a machine behind NAT has another one",
            rule="node-address",
        )
        for address, found in facts.items()
        if found.link_of(address) is None
    ]


def describe(
    ref: PodRef, facts: Mapping[IPv4Address, NodeFacts], known: Mapping[IPv4Address, str] | None = None
) -> Description:
    """The first is the control plane. Every address is on an interface of its machine.

    `known` are names that machines of the POD have already, also of those that leave it.
    """
    links = {address: _link(found, address) for address, found in facts.items()}
    names = _names({address: found.hostname for address, found in facts.items()}, known or {})
    macs = [link.mac for link in links.values()]
    nodes = [
        _node(name, address, facts[address], link.mac if macs.count(link.mac) == 1 else "")
        for name, (address, link) in zip(names, links.items(), strict=True)
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
        "jumphost": {**_machine("localhost", next(iter(facts.values()))), "remote_management": _MANAGEMENT}
        | {"os": "any", "interfaces": [{"name": "nic1", "mac_address": "00:00:00:00:00:00"}]},
        "nodes": nodes,
    }
    cidr = _common_network(links)
    mgmt = {"interface": 0, "vlan": "native", "network": str(cidr.network_address), "mask": cidr.prefixlen}
    bridges = dict.fromkeys(("admin", "mgmt", "private", "public"))
    devices = [{"interfaces": [link.name], "busaddr": ["0000:00:00.0"]} for link in links.values()]
    network = {"interface_mtu": min(link.mtu for link in links.values()), "node": devices}
    idf = {
        "idf": {
            "version": 0.1,
            "net_config": {"mgmt": mgmt},
            "fuel": {"jumphost": {"bridges": bridges}, "network": network},
        }
    }
    return Description(_HEADER + dump_yaml_all([pdf]), _HEADER + dump_yaml_all([idf]), names)


def _link(found: NodeFacts, address: IPv4Address) -> NodeLink:
    link = found.link_of(address)
    assert link is not None  # `check_addresses` comes before
    return link


def _names(hostnames: Mapping[IPv4Address, str], known: Mapping[IPv4Address, str]) -> tuple[str, ...]:
    """The machines' own, where each has one of its own that can name a node of a cluster; else numbers."""
    own = {address: hostname.partition(".")[0] for address, hostname in hostnames.items() if address not in known}
    usable = all(_NAME.fullmatch(name) and name not in _NO_NAMES for name in own.values())
    taken = set(known.values())
    if not usable or len({*own.values()} - taken) < len(own):
        free = (name for number in count(1) if (name := f"node-{number}") not in taken)
        own = {address: next(free) for address in own}
    return tuple(known.get(address) or own[address] for address in hostnames)


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
    """A MAC that two machines have is left out: that is for the preflight to say, with all else."""
    nic = {"name": "nic1", "mac_address": mac or "00:00:00:00:00:00", "vlan": "native", "address": str(address)}
    return {**_machine(name, found), "remote_management": _MANAGEMENT, "interfaces": [nic]}


def _common_network(links: Mapping[IPv4Address, NodeLink]) -> IPv4Network:
    """The smallest that holds all addresses and, if they share one, is the interfaces' own."""
    networks = [own.network for address, link in links.items() for own in link.addresses if own.ip == address]
    common = networks[0]
    while not all(address in common for address in links):
        common = common.supernet()
    return common
