"""Addresses outside the cluster that its nodes must reach, and networks that its nodes make for themselves.

Where the pod or the service CIDR holds one of them, nodes look for it among pods or services.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlsplit

from iecpod.descriptors.cidrs import TakenNetwork
from iecpod.design.pod import PodDesign

#: What docker gives its bridge docker0, unless its `bip` says otherwise (dockerd, "Default bridge network").
_DOCKER_BRIDGE = IPv4Network("172.17.0.0/16")


def reached_networks(pod: PodDesign) -> tuple[TakenNetwork, ...]:
    """Name servers, time servers, proxies and mirrors that are given by address; docker's own bridge."""
    made = (
        [TakenNetwork(_DOCKER_BRIDGE, "docker's bridge on the nodes")]
        if pod.cluster.release.runtime == "docker"
        else []
    )
    return (*made, *(TakenNetwork(IPv4Network(address), owner) for address, owner in _addresses(pod)))


def _addresses(pod: PodDesign) -> Iterator[tuple[IPv4Address, str]]:
    for network in pod.spec.idf.networks:
        yield from ((server, f"the name server of IDF network {network.name.value}") for server in network.dns)
    supply = pod.supply
    hosts = [(server, "a time server of the IDF") for server in pod.spec.idf.ntp_servers]
    hosts += [(_host(url), "the proxy of the nodes") for url in (supply.http_proxy, supply.https_proxy)]
    hosts += [(_host(supply.apt_mirror), "the mirror of the distribution's archive")]
    hosts += [(_host(url), f"the mirror of {registry}") for registry, url in supply.registry_mirrors.items()]
    hosts += [(_host(source.uri), f"the apt repository {source.name}") for source in pod.cluster.release.repositories]
    for host, owner in hosts:
        try:
            yield IPv4Address(host), owner
        except ValueError:  # a name, or nothing
            continue


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
