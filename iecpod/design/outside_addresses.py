"""Addresses outside the cluster that its nodes must reach.

Where the pod or the service CIDR holds one of them, nodes look for it among pods or services.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlsplit

from iecpod.descriptors.addresses.cidrs import TakenNetwork
from iecpod.model import PodSpec
from iecpod.release.mirrors import Supply
from iecpod.release.release import Release


def reached_networks(spec: PodSpec, supply: Supply, release: Release) -> tuple[TakenNetwork, ...]:
    """Name servers, time servers, proxies, mirrors, repositories and registries that are given by address."""
    return tuple(TakenNetwork(IPv4Network(address), owner) for address, owner in _addresses(spec, supply, release))


def _addresses(spec: PodSpec, supply: Supply, release: Release) -> Iterator[tuple[IPv4Address, str]]:
    for network in spec.idf.networks:
        yield from ((server, f"the name server of IDF network {network.name.value}") for server in network.dns)
    hosts = [(server, "a time server of the IDF") for server in spec.idf.ntp_servers]
    hosts += [(_host(url), "the proxy of the nodes") for url in (supply.http_proxy, supply.https_proxy)]
    hosts += [(_host(supply.apt_mirror), "the mirror of the distribution's archive")]
    hosts += [(_host(url), f"the mirror of {registry}") for registry, url in supply.registry_mirrors.items()]
    hosts += [(_host(source.uri), f"the apt repository {source.name}") for source in release.repositories]
    if release.provided is None:
        hosts += _hosts_of_release(release, supply)
    for host, owner in dict.fromkeys(hosts):
        try:
            yield IPv4Address(host), owner
        except ValueError:  # a name, or nothing
            continue


def _hosts_of_release(release: Release, supply: Supply) -> Iterator[tuple[str, str]]:
    """What a bundle stands in for."""
    if not supply.apt_mirror:
        yield _host(release.image.mirror), "the mirror of the release's image"
    yield _host(release.image.security_mirror), "the security mirror of the release's image"
    names = (release.image_repository, release.pause_image, release.nginx_image, release.kube_router_image)
    for name in (*names, *release.extra_images):
        yield _registry_host(name), f"a registry of release {release.name}"
    for section, source in release.cni_sources.items():
        renamed = (name for names in source.image_names.values() for name in names.values())
        for name in (str(source.settings.get("registry", "")), *renamed):
            yield _registry_host(name), f"the registry of {section}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _registry_host(name: str) -> str:
    """Of `HOST[:PORT][/PATH]`."""
    return name.partition("/")[0].partition(":")[0]
