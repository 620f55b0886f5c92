"""CIDRs that must not overlap: pods, services, the IDF's networks, and whatever the host knows already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from netaddr import IPNetwork, IPSet

from iecpod.descriptors.value_parsers import SPECIAL_NETWORKS, make_network, parse_cidr
from iecpod.errors import Problem
from iecpod.model import IpNetwork, NetworkName, PodSpec


@dataclass(frozen=True, slots=True)
class TakenNetwork:
    """`owner` says in words whose it is: `IDF network mgmt`, `libvirt network default`, `interface eth0`."""

    cidr: IpNetwork
    owner: str
    network: NetworkName | None = None
    file: str = ""


#: Where free networks are looked for, in this order: private (RFC 1918), then shared address space (RFC 6598).
_FREE_SPACE = tuple(IPv4Network(cidr) for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
_SPECIAL = tuple(TakenNetwork(cidr, owner) for cidr, owner in SPECIAL_NETWORKS)
#: kube-controller-manager gives each node a /24, and refuses a pod CIDR more than 16 bits wider.
_NODE_PREFIX = 24
_WIDEST_POD_PREFIX = 8
#: kube-apiserver refuses a service CIDR of more than 20 bits; kubeadm puts the cluster's DNS at its tenth address.
_WIDEST_SERVICE_PREFIX = 12
_NARROWEST_SERVICE_PREFIX = 28


def idf_networks(pod: PodSpec) -> tuple[TakenNetwork, ...]:
    """Every network of the IDF that has addresses."""
    return tuple(
        TakenNetwork(network.cidr, f"IDF network {network.name.value}", network.name, pod.idf_file)
        for network in pod.idf.networks
        if network.cidr is not None
    )


def check_cidrs(pod_cidr: str, service_cidr: str, taken: Sequence[TakenNetwork], *, nodes: int) -> list[Problem]:
    """Everything wrong with the two CIDRs: syntax, size for so many nodes, and each overlap with a free CIDR instead.

    `taken` may hold default routes; they are passed over.
    """
    problems: list[Problem] = []
    pods = _parse("pod", pod_cidr, problems)
    services = _parse("service", service_cidr, problems)
    others = [*_without_defaults(taken), *_SPECIAL]
    beside_services = [*_as_taken("the service CIDR", services), *others]
    beside_pods = [*_as_taken("the pod CIDR", pods), *others]
    if pods is not None:
        free = _propose(pods.prefixlen, _WIDEST_POD_PREFIX, _narrowest_pod_prefix(nodes), beside_services)
        beside_pods += _as_taken("the proposed pod CIDR", free)
        problems.extend(_check_pod_size(pods, nodes))
        problems.extend(_overlaps("pod", pods, beside_services, free))
    if services is not None:
        problems.extend(_check_service_size(services))
        free = _propose(services.prefixlen, _WIDEST_SERVICE_PREFIX, _NARROWEST_SERVICE_PREFIX, beside_pods)
        problems.extend(_overlaps("service", services, others, free))
    return problems


def check_idf_networks(idf: Sequence[TakenNetwork], taken: Sequence[TakenNetwork]) -> list[Problem]:
    """Overlaps of the IDF's networks with each other and with what is taken on the host."""
    problems: list[Problem] = []
    others = _without_defaults(taken)
    in_use = [*idf, *others, *_SPECIAL]
    for index, network in enumerate(idf):
        overlapped = [other for other in (*idf[index + 1 :], *others) if network.cidr.overlaps(other.cidr)]
        if overlapped:
            free = find_free_cidr(network.cidr.prefixlen, in_use)
            in_use += _as_taken("a proposed network", free)
            problems.extend(_idf_overlap(network, other, free) for other in overlapped)
    return problems


def find_free_cidr(
    prefix_length: int, taken: Sequence[TakenNetwork], *, first: IpNetwork = _FREE_SPACE[0]
) -> IpNetwork | None:
    """A private network of that size that overlaps nothing that is taken; None where none is left.

    It is looked for in `first` before others.
    """
    used = IPSet([IPNetwork(str(network.cidr)) for network in taken])
    for space in dict.fromkeys((first, *_FREE_SPACE)):
        if space.prefixlen > prefix_length:
            continue
        for free in (IPSet([IPNetwork(str(space))]) - used).iter_cidrs():
            if free.prefixlen <= prefix_length:
                offset = int(free.first) - int(space.network_address)
                return make_network(space.network_address + offset, prefix_length)
    return None


def _propose(prefix_length: int, widest: int, narrowest: int, taken: Sequence[TakenNetwork]) -> IpNetwork | None:
    """A free network of the size that was asked for if it is one that works, else of the nearest size there is."""
    first = min(max(prefix_length, widest), narrowest)
    candidates = (find_free_cidr(length, taken) for length in range(first, narrowest + 1))
    return next((free for free in candidates if free is not None), None)


def _narrowest_pod_prefix(nodes: int) -> int:
    return _NODE_PREFIX - max(0, nodes - 1).bit_length()


def _parse(what: str, text: str, problems: list[Problem]) -> IpNetwork | None:
    try:
        return parse_cidr(text)
    except ValueError as error:
        problems.append(
            Problem(
                message=f"the {what} CIDR is not usable: {error}",
                remedy=f"give a network with its prefix length with --{what}-cidr",
                rule=f"{what}-cidr-syntax",
            )
        )
        return None


def _as_taken(owner: str, cidr: IpNetwork | None) -> list[TakenNetwork]:
    return [] if cidr is None else [TakenNetwork(cidr, owner)]


def _without_defaults(taken: Sequence[TakenNetwork]) -> list[TakenNetwork]:
    """Each network and owner once, without default routes (and the halves that VPNs split them into)."""
    return list(dict.fromkeys(network for network in taken if network.cidr.prefixlen > 1))


def _check_pod_size(pods: IpNetwork, nodes: int) -> Iterator[Problem]:
    wanted = _narrowest_pod_prefix(nodes)
    if pods.prefixlen > wanted:
        room = 2 ** (_NODE_PREFIX - pods.prefixlen) if pods.prefixlen <= _NODE_PREFIX else 0
        yield Problem(
            message=f"the pod CIDR {pods} holds a /{_NODE_PREFIX} for {room} of {nodes} nodes",
            remedy=f"give a /{wanted} or wider with --pod-cidr",
            rule="pod-cidr-too-small",
        )
    elif pods.prefixlen < _WIDEST_POD_PREFIX:
        yield Problem(
            message=f"the pod CIDR {pods} is wider than Kubernetes takes (/{_WIDEST_POD_PREFIX})",
            remedy=f"give a /{_WIDEST_POD_PREFIX} or narrower with --pod-cidr, such as a /16",
            rule="pod-cidr-too-large",
        )


def _check_service_size(services: IpNetwork) -> Iterator[Problem]:
    if not _WIDEST_SERVICE_PREFIX <= services.prefixlen <= _NARROWEST_SERVICE_PREFIX:
        yield Problem(
            message=f"the service CIDR {services} is not between /{_WIDEST_SERVICE_PREFIX} (Kubernetes' limit) and "
            f"/{_NARROWEST_SERVICE_PREFIX} (room for the cluster's DNS)",
            remedy="give such a one with --service-cidr, such as a /24",
            rule="service-cidr-size",
        )


def _overlaps(what: str, cidr: IpNetwork, others: Sequence[TakenNetwork], free: IpNetwork | None) -> Iterator[Problem]:
    for other in others:
        if cidr.overlaps(other.cidr):
            yield Problem(
                message=f"the {what} CIDR {cidr} overlaps {other.cidr}, which is taken by {other.owner}",
                remedy=f"use a free one: --{what}-cidr {free}"
                if free
                else "free some of the private networks: none is left",
                rule=f"{what}-cidr-overlap",
            )


def _idf_overlap(network: TakenNetwork, other: TakenNetwork, free: IpNetwork | None) -> Problem:
    change = f"put it on a free one, such as {free}" if free else "put it elsewhere"
    hint = "" if other.network else ", or deploy with -c embedded, where nothing of the host is in the way"
    return Problem(
        message=f"{network.owner} ({network.cidr}) overlaps {other.cidr}, which is taken by {other.owner}",
        remedy=change + hint,
        file=network.file,
        path=f"idf.net_config.{network.network.value}.network" if network.network else "",
        rule="idf-network-overlap",
    )
