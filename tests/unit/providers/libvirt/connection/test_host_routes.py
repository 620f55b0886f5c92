"""Networks in use, from the output of iproute2."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

from iecpod.design.machines import Route
from iecpod.providers.libvirt.connection.host_routes import parse_routes

ROUTES = [
    {"dst": "default", "gateway": "198.51.100.1", "dev": "eth0", "flags": []},
    {"dst": "198.51.100.0/24", "dev": "eth0", "protocol": "kernel", "scope": "link", "prefsrc": "198.51.100.7"},
    {"dst": "172.17.0.0/16", "dev": "docker0", "protocol": "kernel", "flags": ["linkdown"]},
    {"dst": "172.18.0.0/16", "dev": "br-0123456789ab", "protocol": "kernel"},
    {"dst": "192.168.122.0/24", "dev": "virbr0", "protocol": "kernel"},
    {"dst": "203.0.113.9", "gateway": "198.51.100.2", "dev": "eth0"},
    {"type": "unreachable", "dst": "10.96.0.0/12", "table": "100"},
    {"type": "local", "dst": "198.51.100.7", "dev": "eth0", "table": "local"},
    {"type": "broadcast", "dst": "198.51.100.255", "dev": "eth0", "table": "local"},
    {"type": "local", "dst": "127.0.0.0/8", "dev": "lo", "table": "local"},
    {"dst": "169.254.0.0/16", "dev": "eth0", "metric": 1000},
]

ADDRESSES = [
    {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
    {"ifname": "eth0", "addr_info": [{"family": "inet", "local": "198.51.100.7", "prefixlen": 24}]},
    {"ifname": "docker1", "addr_info": [{"family": "inet", "local": "172.19.0.1", "prefixlen": 16}]},
    {},
]


def route(cidr: str, device: str, owner: str) -> Route:
    return Route(IPv4Network(cidr), device, owner)


def test_networks_with_their_owners() -> None:
    assert parse_routes(json.dumps(ROUTES), json.dumps(ADDRESSES)) == (
        route("10.96.0.0/12", "", "routing table"),
        route("172.17.0.0/16", "docker0", "docker network (docker0)"),
        route("172.18.0.0/16", "br-0123456789ab", "docker network (br-0123456789ab)"),
        route("172.19.0.0/16", "docker1", "docker network (docker1)"),
        route("192.168.122.0/24", "virbr0", "libvirt network (virbr0)"),
        route("198.51.100.0/24", "eth0", "interface eth0"),
        route("203.0.113.9/32", "eth0", "interface eth0"),
    )


def test_nothing_but_loopback() -> None:
    assert parse_routes("", "[]") == ()
    assert parse_routes("[]\n", json.dumps(ADDRESSES[:1])) == ()
