"""Addresses outside the cluster that its nodes must reach.

Where the pod or the service CIDR holds one of them, nodes look for it among pods or services.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlsplit

from iecpod.descriptors.addresses.cidrs import TakenNetwork
from iecpod.model import PodSpec
from iecpod.release.mirrors import Supply
from iecpod.release.release import AptRepository, Release


def reached_networks(spec: PodSpec, supply: Supply, release: Release) -> tuple[TakenNetwork, ...]:
    """Name servers, time servers, proxies, mirrors and repositories that are given by address."""
    return tuple(
        TakenNetwork(IPv4Network(address), owner) for address, owner in _addresses(spec, supply, release.repositories)
    )


def _addresses(
    spec: PodSpec, supply: Supply, repositories: Sequence[AptRepository]
) -> Iterator[tuple[IPv4Address, str]]:
    for network in spec.idf.networks:
        yield from ((server, f"the name server of IDF network {network.name.value}") for server in network.dns)
    hosts = [(server, "a time server of the IDF") for server in spec.idf.ntp_servers]
    hosts += [(_host(url), "the proxy of the nodes") for url in (supply.http_proxy, supply.https_proxy)]
    hosts += [(_host(supply.apt_mirror), "the mirror of the distribution's archive")]
    hosts += [(_host(url), f"the mirror of {registry}") for registry, url in supply.registry_mirrors.items()]
    hosts += [(_host(source.uri), f"the apt repository {source.name}") for source in repositories]
    for host, owner in hosts:
        try:
            yield IPv4Address(host), owner
        except ValueError:  # a name, or nothing
            continue


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
