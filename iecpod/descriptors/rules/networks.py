"""Rules about `idf.net_config`: networks, their addresses, and each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from iecpod.descriptors.messages import suggest
from iecpod.descriptors.rules.documents import CORE_NETWORKS, NetworkView, PodView, read
from iecpod.descriptors.rules.rule import Finding, error, warning
from iecpod.descriptors.value_parsers import SPECIAL_NETWORKS, parse_ipv4

_LABS = "34 descriptor pairs that labs used"
_KNOWN_NETWORKS = ("oob", *CORE_NETWORKS)
_KNOWN_KEYS = ("interface", "vlan", "network", "mask", "ip-range", "gateway", "dns")
#: Networks without which iecpod can build nothing: nodes are reached on mgmt and get their packages by admin.
_NEEDED_NETWORKS = ("admin", "mgmt")
_NARROWEST_MASK = 29
_NET_CONFIG = ("idf", "net_config")


@error(
    "network-needed",
    reason="nodes boot on admin and talk Kubernetes on mgmt",
    source="Fuel's templates",
    fixed="without these networks there is nothing to build",
)
def network_needed(pod: PodView) -> Iterator[Finding]:
    needed = _NEEDED_NETWORKS if not _has_its_addresses(pod) else ("mgmt",)
    yield from _missing(pod, needed, "add it with interface, network and mask")


@warning("network-missing", reason="nodes get no NIC on it", source="three labs leave one out")
def network_missing(pod: PodView) -> Iterator[Finding]:
    others = tuple(name for name in CORE_NETWORKS if name not in _NEEDED_NETWORKS and not _has_its_addresses(pod))
    yield from _missing(pod, others, "add it, unless nodes are to have no NIC there")


def _has_its_addresses(pod: PodView) -> bool:
    """Whether there is mgmt alone, with an address of each node: machines that are there need no other network."""
    mgmt = pod.network("mgmt")
    if mgmt is None or len(pod.core_networks) > 1 or mgmt.cidr is None or mgmt.interface is None or not pod.nodes:
        return False
    nics = [node.nics[mgmt.interface : mgmt.interface + 1] for node in pod.nodes]
    return all(found and found[0].address is not None and found[0].address in mgmt.cidr for found in nics)


def _missing(pod: PodView, names: tuple[str, ...], remedy: str) -> Iterator[Finding]:
    if not pod.networks:
        return  # the schema says that net_config itself is missing
    known = {network.name for network in pod.networks}
    for name in names:
        if name not in known:
            yield Finding(pod.idf, _NET_CONFIG, f"the network {name!r} is missing", remedy)


@error("network-misspelt", reason="a misspelt network is silently not there", source="mutations of arm/virtual2")
def network_misspelt(pod: PodView) -> Iterator[Finding]:
    for network, guess in _unknown_networks(pod):
        if guess:
            yield Finding(pod.idf, network.path, f"there is no network {network.name[:40]!r}", guess)


@warning("network-unknown", reason="iecpod makes no use of it", source="huawei/pod1 has tenant and external")
def network_unknown(pod: PodView) -> Iterator[Finding]:
    for network, guess in _unknown_networks(pod):
        if not guess:
            yield Finding(
                pod.idf,
                network.path,
                f"iecpod knows no network {network.name[:40]!r}",
                f"networks it knows: {', '.join(_KNOWN_NETWORKS)}",
            )


def _unknown_networks(pod: PodView) -> Iterator[tuple[NetworkView, str]]:
    present = {network.name for network in pod.networks}
    absent = [name for name in _KNOWN_NETWORKS if name not in present]
    for network in pod.networks:
        if network.name not in _KNOWN_NETWORKS:
            yield network, suggest(network.name, absent)


@error("network-key-misspelt", reason="a misspelt key is silently not there", source="mutations of arm/virtual2")
def network_key_misspelt(pod: PodView) -> Iterator[Finding]:
    for network, key, guess in _unknown_keys(pod):
        if guess:
            yield Finding(pod.idf, (*network.path, key), f"networks have no key {key[:40]!r}", guess)


@warning("network-key-unknown", reason="iecpod makes no use of it", source="the Pharos schema allows any key there")
def network_key_unknown(pod: PodView) -> Iterator[Finding]:
    for network, key, guess in _unknown_keys(pod):
        if not guess:
            yield Finding(
                pod.idf,
                (*network.path, key),
                f"iecpod knows no key {key[:40]!r} of a network",
                f"keys it knows: {', '.join(_KNOWN_KEYS)}",
            )


def _unknown_keys(pod: PodView) -> Iterator[tuple[NetworkView, str, str]]:
    for network in pod.networks:
        absent = [key for key in _KNOWN_KEYS if key not in network.data]
        for key in network.data:
            if key not in _KNOWN_KEYS:
                yield network, key, suggest(key.replace("_", "-"), absent)


@error("gateway-is-network", reason="a network's first and last address are reserved", source="RFC 1122")
def gateway_is_network(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        cidr, gateway = network.cidr, network.gateway
        if cidr is None or gateway is None or cidr.prefixlen > 30:
            continue
        if gateway in (cidr.network_address, cidr.broadcast_address):
            what = "network" if gateway == cidr.network_address else "broadcast"
            yield Finding(
                pod.idf,
                (*network.path, "gateway"),
                f"the gateway {gateway} is the {what} address of {cidr}",
                f"write the router's address, {cidr.network_address + 1} to {cidr.broadcast_address - 1}",
            )


@warning("gateway-outside", reason="nodes reach only what is in their network", source="three labs have a /24 router")
def gateway_outside(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        if network.cidr is not None and network.gateway is not None and network.gateway not in network.cidr:
            yield Finding(
                pod.idf,
                (*network.path, "gateway"),
                f"the gateway {network.gateway} is outside the network {network.cidr}",
                "correct gateway, network or mask",
            )


@warning("gateway-in-range", reason="a node could get the router's address", source=_LABS)
def gateway_in_range(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        if network.ip_range and network.gateway and network.ip_range[0] <= network.gateway <= network.ip_range[1]:
            yield Finding(
                pod.idf,
                (*network.path, "ip-range"),
                f"the range {network.ip_range[0]}-{network.ip_range[1]} holds the gateway {network.gateway}",
                "begin the range behind the gateway, or end it before",
            )


@warning("public-gateway-missing", reason="nodes have no way out", source="ool/pod1 has it on private")
def public_gateway_missing(pod: PodView) -> Iterator[Finding]:
    public = pod.network("public")
    others = (network for name in ("mgmt", "admin") if (network := pod.network(name)) is not None)
    if public is None or public.data.get("gateway") is not None:
        return
    if not any(other.cidr is not None and other.gateway in other.cidr for other in others if other.gateway):
        yield Finding(pod.idf, public.path, "the public network has no gateway", "add gateway, the router's address")


@error("range-outside", reason="addresses of the range would be in no network", source=_LABS)
def range_outside(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        if network.cidr is None or network.ip_range is None:
            continue
        outside = [address for address in network.ip_range if address not in network.cidr]
        if outside:
            verb = "is" if len(outside) == 1 else "are"
            yield Finding(
                pod.idf,
                (*network.path, "ip-range"),
                f"{' and '.join(map(str, outside))} of the range {verb} outside {network.cidr}",
                "correct ip-range, network or mask",
            )


@warning("range-holds-network", reason="a network's first and last address are reserved", source="RFC 1122")
def range_holds_network(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        cidr = network.cidr
        if cidr is None or network.ip_range is None or cidr.prefixlen > 30:
            continue
        ends = [end for end in network.ip_range if end in (cidr.network_address, cidr.broadcast_address)]
        if ends:
            yield Finding(
                pod.idf,
                (*network.path, "ip-range"),
                f"the range holds {ends[0]}, which is not an address for a host in {cidr}",
                f"keep within {cidr.network_address + 1}-{cidr.broadcast_address - 1}",
            )


@warning("network-host-bits", reason="the network begins elsewhere", source="ericsson/pod2 has 172.29.242.0/22")
def network_host_bits(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        if network.cidr is not None and network.address != network.cidr.network_address:
            yield Finding(
                pod.idf,
                (*network.path, "network"),
                f"{network.address}/{network.cidr.prefixlen} is an address within the network {network.cidr}",
                f"write network: {network.cidr.network_address}, or correct the mask",
            )


@error("network-special", reason="no machine has an address there", source="IANA's special-purpose registry")
def network_special(pod: PodView) -> Iterator[Finding]:
    for network in pod.core_networks:
        for special, owner in SPECIAL_NETWORKS:
            if network.cidr is not None and network.cidr.overlaps(special):
                yield Finding(
                    pod.idf,
                    (*network.path, "network"),
                    f"{network.cidr} is in {special}, which is for {owner}",
                    "use a network of your own, such as one in 10.0.0.0/8",
                )


@warning("network-tiny", reason="there is no room for host, gateway and nodes", source=_LABS)
def network_tiny(pod: PodView) -> Iterator[Finding]:
    for network in pod.core_networks:
        if network.cidr is not None and network.cidr.prefixlen > _NARROWEST_MASK:
            yield Finding(
                pod.idf,
                (*network.path, "mask"),
                f"a /{network.cidr.prefixlen} has no room for the nodes",
                "use a wider network, such as a /24",
            )


@warning("networks-overlap", reason="an address is then in two networks", source="ericsson/pod2 and zte/pod9 do it")
def networks_overlap(pod: PodView) -> Iterator[Finding]:
    for first, second in combinations(pod.networks[:100], 2):
        if first.cidr is not None and second.cidr is not None and first.cidr.overlaps(second.cidr):
            yield Finding(
                pod.idf,
                (*second.path, "network"),
                f"{second.name[:40]} ({second.cidr}) overlaps {first.name[:40]} ({first.cidr})",
                "give every network addresses of its own",
            )


@warning("dns-not-a-list", reason="some installers want a list", source="lf/pod4 has one address")
def dns_not_a_list(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        dns = network.data.get("dns")
        if isinstance(dns, str):
            yield Finding(
                pod.idf, (*network.path, "dns"), "dns is one address, not a list", f"write it as [{dns[:40]}]"
            )


@warning("dns-unusable", reason="no name server answers there", source="IANA's special-purpose registry")
def dns_unusable(pod: PodView) -> Iterator[Finding]:
    for network in pod.networks:
        dns = network.data.get("dns")
        for index, server in enumerate(dns if isinstance(dns, list) else [dns]):
            address = read(parse_ipv4, server)
            owner = next((owner for special, owner in SPECIAL_NETWORKS if address and address in special), None)
            if owner is not None:
                yield Finding(
                    pod.idf,
                    (*network.path, "dns", *([index] if isinstance(dns, list) else [])),
                    f"{address} is no name server: it is among {owner}",
                    "write the address of a name server that the nodes reach",
                )
