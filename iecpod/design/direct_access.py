"""What nodes reach without the proxy of their lab."""

from __future__ import annotations

from dataclasses import replace

from iecpod.design.cluster import DesiredCluster
from iecpod.model import PodSpec
from iecpod.release.mirrors import Supply

#: Addresses of the link itself (RFC 3927), such as those of metadata services and of DNS caches on nodes.
_LINK_LOCAL = "169.254.0.0/16"


def complete_supply(supply: Supply, spec: PodSpec, cluster: DesiredCluster, dns_domain: str) -> Supply:
    """With the IDF's proxy where none was given, and with all that belongs to the POD reached directly.

    Tools that know no networks in `no_proxy` need the addresses and names of the nodes themselves.
    """
    http_proxy = supply.http_proxy or spec.idf.upstream_proxy
    direct = [
        "localhost",
        "127.0.0.1",
        _LINK_LOCAL,
        *(str(network.cidr) for network in spec.idf.networks if network.cidr is not None),
        str(cluster.pod_cidr),
        str(cluster.service_cidr),
        *(text for node in cluster.nodes for text in (str(node.address), node.hostname)),
        f".{dns_domain}",
        ".svc",
        ".cluster.local",
        *supply.no_proxy,
    ]
    return replace(
        supply,
        http_proxy=http_proxy,
        https_proxy=supply.https_proxy or http_proxy,
        no_proxy=tuple(dict.fromkeys(direct)),
    )
