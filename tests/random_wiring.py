"""Descriptors with networks wired at random: orders, tags, shared NICs, names, gateways, bridges, missing networks."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

from iecpod.providers.libvirt.objects import HostFacts, Link
from tests.fakes import FACTS
from tests.unit.descriptors.broken_pod import REMOVED, Edits

_NICS = range(4)
_LAB_BRIDGES = ("br-lab", "br-trunk")


@dataclass(frozen=True)
class Wiring:
    """Edits of the sound POD, and the host that it is for."""

    pdf: Edits
    idf: Edits
    facts: HostFacts


def make_wiring(chance: random.Random) -> Wiring:
    """Most are valid; what is not has to be refused."""
    idf: dict[str, object] = {"idf.fuel.network.interface_mtu": chance.choice([1500, 9000, 1400])}
    for name in ("admin", "mgmt", "private", "public"):
        idf |= _network(chance, name)
    if chance.random() < 0.5:  # each on a NIC of its own, as most labs have it
        for name, nic in zip(("admin", "mgmt", "private", "public"), chance.sample(_NICS, 4), strict=True):
            idf[f"idf.net_config.{name}.interface"] = nic
    for name in chance.choices(("public", "private", ""), weights=(1, 1, 3)):
        if name:
            idf = {path: value for path, value in idf.items() if not path.startswith(f"idf.net_config.{name}.")}
            idf[f"idf.net_config.{name}"] = REMOVED
    idf["idf.fuel.network.public_pool"] = REMOVED
    idf["idf.fuel.jumphost.bridges"] = {
        name: chance.choice((None, None, f"br-{name}", *_LAB_BRIDGES))
        for name in ("admin", "mgmt", "private", "public")
    }
    for node in range(3):
        names = _names(chance)
        idf[f"idf.fuel.network.node[{node}].interfaces"] = names
        idf[f"idf.fuel.network.node[{node}].busaddr"] = [f"0000:{bus:02x}:00.0" for bus in range(1, len(names) + 1)]
    pdf = {
        f"nodes[{node}].interfaces[{nic}].mac_address": "00:00:00:00:00:00"
        for node in range(3)
        for nic in _NICS
        if chance.random() < 0.5
    }
    links = tuple(Link(name, 9000, is_bridge=True) for name in _LAB_BRIDGES if chance.random() < 0.3)
    return Wiring(pdf, idf, dataclasses.replace(FACTS, links=links))


def _network(chance: random.Random, name: str) -> Edits:
    tags: tuple[object, ...] = ("native", "native", 0, chance.randint(1, 4094), chance.randint(15, 17), "1000-1999")
    edits: dict[str, object] = {
        f"idf.net_config.{name}.interface": chance.choice(_NICS),
        f"idf.net_config.{name}.vlan": chance.choice(tags),
    }
    subnets = {"admin": "192.168.11", "mgmt": "172.16.10", "public": "10.0.19"}
    if name in subnets:
        last = chance.choice((None, None, 1, 254))
        edits[f"idf.net_config.{name}.gateway"] = f"{subnets[name]}.{last}" if last else None
    return edits


def _names(chance: random.Random) -> list[str | None]:
    """Of one node's NICs: as the kernel would, from another bus on, in another order, nothing like that, or not all."""
    first = chance.choice((1, 1, 2, 3, 30, 129))
    names: list[str | None] = [f"enp{first + nic}s0" for nic in _NICS]
    kind = chance.randrange(6)
    if kind == 1:
        chance.shuffle(names)
    elif kind == 2:
        names = chance.sample((*names[:2], "eth0", "eth1", "eno1", "ens3", "enp5s0f1", "enp1s0f0np0"), 4)
    elif kind == 3:
        names[chance.choice(_NICS)] = "mgmt0"
    elif kind == 4:
        chance.shuffle(names)
        for nic in chance.sample(_NICS, chance.randint(1, 3)):
            names[nic] = None
    elif kind == 5:
        chance.shuffle(names)
        del names[chance.randint(1, 3) :]
    return names
