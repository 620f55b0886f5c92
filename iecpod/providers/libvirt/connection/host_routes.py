"""IPv4 networks that a host already uses, and its network devices, from `ip -j`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import Any

from iecpod.adapters.host_programs import run_program
from iecpod.design.machines import Route
from iecpod.providers.libvirt.objects import Link

#: Ranges that no POD can clash with: loopback, link-local, multicast.
_NOT_ROUTED = (IPv4Network("127.0.0.0/8"), IPv4Network("169.254.0.0/16"), IPv4Network("224.0.0.0/4"))

#: Types of routing entries that restate an address of the host, which `ip addr` shows with its prefix.
_RESTATED = frozenset({"local", "broadcast", "multicast", "anycast"})

#: Who makes devices of which names; the first that matches counts.
_OWNERS = (
    (re.compile(r"docker\d+|docker_gwbridge|br-[0-9a-f]{12}"), "docker network"),
    (re.compile(r"virbr\d+"), "libvirt network"),
)


def find_routes(prefix: Sequence[str] = ()) -> tuple[Route, ...]:
    """Networks in use where `prefix` leads (argv that enters a namespace; empty for this one)."""
    routes = run_program([*prefix, "ip", "-j", "-4", "route", "show", "table", "all"])
    addresses = run_program([*prefix, "ip", "-j", "-4", "addr", "show"])
    return parse_routes(routes, addresses)


def find_links(prefix: Sequence[str] = ()) -> tuple[Link, ...]:
    """The network devices where `prefix` leads, by name."""
    return parse_links(run_program([*prefix, "ip", "-j", "-details", "link", "show"]))


def parse_links(links_json: str) -> tuple[Link, ...]:
    """Sorted by name."""
    found = (
        Link(str(link["ifname"]), int(link.get("mtu", 0)), link.get("linkinfo", {}).get("info_kind") == "bridge")
        for link in _parse_list(links_json)
        if "ifname" in link
    )
    return tuple(sorted(found, key=lambda link: link.name))


def parse_routes(routes_json: str, addresses_json: str) -> tuple[Route, ...]:
    """Each network once a device, sorted; default routes, loopback and link-local networks left out.

    Addresses count beside routes: a bridge that is down has no route yet keeps its network.
    """
    pairs = {(entry["dst"], entry.get("dev", "")) for entry in _parse_list(routes_json) if _is_network_route(entry)}
    for link in _parse_list(addresses_json):
        for address in link.get("addr_info", ()):
            if address.get("family") == "inet":
                pairs.add((f"{address['local']}/{address['prefixlen']}", link["ifname"]))
    found = {(IPv4Network(destination, strict=False), device) for destination, device in pairs}
    return tuple(
        Route(cidr, device, _owner_of(device))
        for cidr, device in sorted(found)
        if not any(cidr.subnet_of(unused) for unused in _NOT_ROUTED)
    )


def _is_network_route(entry: dict[str, Any]) -> bool:
    return entry.get("dst") not in (None, "default", "0.0.0.0/0") and entry.get("type", "unicast") not in _RESTATED


def _owner_of(device: str) -> str:
    for pattern, owner in _OWNERS:
        if pattern.fullmatch(device):
            return f"{owner} ({device})"
    return f"interface {device}" if device else "routing table"


def _parse_list(text: str) -> list[dict[str, Any]]:
    """`ip -j` prints an empty line where it has nothing, and `{}` for entries its filter left out."""
    return [entry for entry in json.loads(text.strip() or "[]") if entry]
