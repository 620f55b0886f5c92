"""The network of docker's own bridge on nodes: docker's default, or one that leads to nothing that nodes must reach."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network

from iecpod.descriptors.addresses.cidrs import TakenNetwork, find_free_cidr

#: What docker gives docker0, unless its `bip` says otherwise (dockerd, "Default bridge network").
DEFAULT_DOCKER_BRIDGE = IPv4Interface("172.17.0.1/16")
#: Pods have addresses of their CNI: what is left for the bridge are containers that are run by hand.
_PREFIX = 24
#: Where docker itself looks for networks first.
_NEAR_THE_DEFAULT = IPv4Network("172.16.0.0/12")


def plan_docker_bridge(taken: Sequence[TakenNetwork]) -> IPv4Interface:
    """The address of docker0, with its network. The default also where there is no free network: that is refused."""
    if not any(network.cidr.overlaps(DEFAULT_DOCKER_BRIDGE.network) for network in taken):
        return DEFAULT_DOCKER_BRIDGE
    free = find_free_cidr(_PREFIX, taken, first=_NEAR_THE_DEFAULT)
    return IPv4Interface((free.network_address + 1, _PREFIX)) if free else DEFAULT_DOCKER_BRIDGE
