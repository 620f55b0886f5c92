"""CIDRs of pods and services against each other, the IDF's networks and the host's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.descriptors.addresses.cidrs import (
    TakenNetwork,
    check_cidrs,
    check_idf_networks,
    find_free_cidr,
    idf_networks,
)
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.pod_files import load_descriptors
from iecpod.descriptors.value_parsers import make_network
from iecpod.errors import Problem
from iecpod.model import NetworkName, PodRef
from tests.unit.descriptors.broken_pod import ROOT

REF = PodRef("arm", "virtual2")
IDF = idf_networks(parse_pod(REF, load_descriptors(str(ROOT / "pdf"), REF).descriptors))
EMBEDDED = "or deploy with -c embedded, where nothing of the host is in the way"
DOCKER = TakenNetwork(IPv4Network("172.17.0.0/16"), "docker network (docker0)")


def shown(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.rule, problem.message, problem.remedy) for problem in problems]


def test_networks_of_the_idf_and_their_owners() -> None:
    assert [(str(taken.cidr), taken.owner) for taken in IDF] == [
        ("192.168.11.0/24", "IDF network admin"),
        ("172.16.10.0/24", "IDF network mgmt"),
        ("192.168.20.0/24", "IDF network storage"),
        ("10.1.0.0/24", "IDF network private"),
        ("10.0.19.0/24", "IDF network public"),
    ]


def test_a_prefix_length_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"^33 is not a prefix length from 0 to 32$"):
        make_network(IPv4Address("10.0.0.0"), 33)


def test_the_defaults_fit_the_iec_labs() -> None:
    assert check_cidrs("100.100.0.0/16", "172.16.1.0/24", [*IDF, DOCKER], nodes=3) == []


@pytest.mark.parametrize(
    ("pods", "services", "expected"),
    [
        (
            "192.168.0.0/16",
            "172.16.1.0/24",
            [
                (
                    "pod-cidr-overlap",
                    "the pod CIDR 192.168.0.0/16 overlaps 192.168.11.0/24, which is taken by IDF network admin",
                    "use a free one: --pod-cidr 10.2.0.0/16",
                ),
                (
                    "pod-cidr-overlap",
                    "the pod CIDR 192.168.0.0/16 overlaps 192.168.20.0/24, which is taken by IDF network storage",
                    "use a free one: --pod-cidr 10.2.0.0/16",
                ),
            ],
        ),
        (
            "100.100.0.0/16",
            "172.17.4.0/22",
            [
                (
                    "service-cidr-overlap",
                    "the service CIDR 172.17.4.0/22 overlaps 172.17.0.0/16, which is taken by docker network (docker0)",
                    "use a free one: --service-cidr 10.0.0.0/22",
                )
            ],
        ),
        (
            "100.100.0.0/16",
            "100.100.3.0/24",
            [
                (
                    "pod-cidr-overlap",
                    "the pod CIDR 100.100.0.0/16 overlaps 100.100.3.0/24, which is taken by the service CIDR",
                    "use a free one: --pod-cidr 10.2.0.0/16",
                )
            ],
        ),
        (
            "10.244.1.0/16",
            "172.16.1.0",
            [
                (
                    "pod-cidr-syntax",
                    "the pod CIDR is not usable: 10.244.1.0/16 has host bits set: the network is 10.244.0.0/16",
                    "give a network with its prefix length with --pod-cidr",
                ),
                (
                    "service-cidr-syntax",
                    "the service CIDR is not usable: '172.16.1.0' is not a CIDR: an IPv4 network with its prefix "
                    "length, such as 10.0.0.0/16",
                    "give a network with its prefix length with --service-cidr",
                ),
            ],
        ),
        (
            "100.100.0.0/23",
            "172.16.1.0/30",
            [
                (
                    "pod-cidr-too-small",
                    "the pod CIDR 100.100.0.0/23 holds a /24 for 2 of 3 nodes",
                    "give a /22 or wider with --pod-cidr",
                ),
                (
                    "service-cidr-size",
                    "the service CIDR 172.16.1.0/30 is not between /12 (Kubernetes' limit) and /28 (room for the "
                    "cluster's DNS)",
                    "give such a one with --service-cidr, such as a /24",
                ),
            ],
        ),
        (
            "32.0.0.0/4",
            "172.16.1.0/24",
            [
                (
                    "pod-cidr-too-large",
                    "the pod CIDR 32.0.0.0/4 is wider than Kubernetes takes (/8)",
                    "give a /8 or narrower with --pod-cidr, such as a /16",
                )
            ],
        ),
        (
            "169.254.0.0/16",
            "172.16.1.0/24",
            [
                (
                    "pod-cidr-overlap",
                    "the pod CIDR 169.254.0.0/16 overlaps 169.254.0.0/16, which is taken by link-local addresses",
                    "use a free one: --pod-cidr 10.2.0.0/16",
                )
            ],
        ),
    ],
)
def test_refusals(pods: str, services: str, expected: list[tuple[str, str, str]]) -> None:
    assert shown(check_cidrs(pods, services, [*IDF, DOCKER], nodes=3)) == expected


def test_proposals_do_not_overlap_each_other() -> None:
    problems = check_cidrs("10.0.0.0/14", "10.1.0.0/16", IDF, nodes=3)
    pods, services = (
        IPv4Network(next(problem.remedy for problem in problems if what in problem.remedy).split()[-1])
        for what in ("--pod-cidr", "--service-cidr")
    )
    assert not pods.overlaps(services)
    assert check_cidrs(str(pods), str(services), IDF, nodes=3) == []


def test_default_routes_overlap_nothing() -> None:
    routes = [TakenNetwork(IPv4Network(cidr), "interface eth0") for cidr in ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1")]
    assert check_cidrs("100.100.0.0/16", "172.16.1.0/24", routes, nodes=3) == []
    assert check_idf_networks(IDF, routes) == []


def test_one_network_of_one_owner_is_reported_once() -> None:
    assert len(check_cidrs("172.17.0.0/16", "172.16.1.0/24", [DOCKER, DOCKER], nodes=1)) == 1


def test_idf_networks_against_the_host_and_each_other() -> None:
    assert shown(check_idf_networks(IDF, [DOCKER])) == []
    mgmt = next(taken for taken in IDF if taken.network is NetworkName.MGMT)
    twin = TakenNetwork(IPv4Network("172.16.10.128/25"), "IDF network public", NetworkName.PUBLIC)
    host = TakenNetwork(IPv4Network("172.16.0.0/12"), "interface eth0")
    problems = check_idf_networks([mgmt, twin], [host])
    assert [(problem.path, problem.rule, problem.message, problem.remedy) for problem in problems] == [
        (
            "idf.net_config.mgmt.network",
            "idf-network-overlap",
            "IDF network mgmt (172.16.10.0/24) overlaps 172.16.10.128/25, which is taken by IDF network public",
            "put it on a free one, such as 10.0.0.0/24",
        ),
        (
            "idf.net_config.mgmt.network",
            "idf-network-overlap",
            "IDF network mgmt (172.16.10.0/24) overlaps 172.16.0.0/12, which is taken by interface eth0",
            f"put it on a free one, such as 10.0.0.0/24, {EMBEDDED}",
        ),
        (
            "idf.net_config.public.network",
            "idf-network-overlap",
            "IDF network public (172.16.10.128/25) overlaps 172.16.0.0/12, which is taken by interface eth0",
            f"put it on a free one, such as 10.0.1.0/25, {EMBEDDED}",
        ),
    ]
    assert problems[0].file.endswith("idf-virtual2.yaml")


def test_no_free_network_left() -> None:
    everything = [
        TakenNetwork(IPv4Network(cidr), "everybody")
        for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
    ]
    assert find_free_cidr(24, everything) is None
    assert find_free_cidr(6, []) is None
    assert shown(check_cidrs("10.5.0.0/16", "11.0.0.0/24", everything, nodes=3)) == [
        (
            "pod-cidr-overlap",
            "the pod CIDR 10.5.0.0/16 overlaps 10.0.0.0/8, which is taken by everybody",
            "free some of the private networks: none is left",
        )
    ]


CIDRS = st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 32)).map(lambda pair: IPv4Network(pair, strict=False))


@settings(deadline=None)  # machines are shared
@given(st.lists(CIDRS, max_size=30), st.integers(8, 30))
def test_what_is_free_overlaps_nothing(cidrs: list[IPv4Network], prefix_length: int) -> None:
    free = find_free_cidr(prefix_length, [TakenNetwork(cidr, "x") for cidr in cidrs])
    if free is not None:
        assert free.prefixlen == prefix_length and free.is_private | (free.subnet_of(IPv4Network("100.64.0.0/10")))
        assert not any(free.overlaps(cidr) for cidr in cidrs)


@settings(deadline=None)  # machines are shared
@given(
    st.text(max_size=30) | CIDRS.map(str),
    st.text("0123456789./", max_size=20) | CIDRS.map(str),
    st.lists(CIDRS, max_size=8),
    st.integers(1, 5000),
)
def test_any_text_is_judged(pods: str, services: str, cidrs: list[IPv4Network], nodes: int) -> None:
    taken = [TakenNetwork(cidr, "somebody") for cidr in cidrs]
    if not check_cidrs(pods, services, taken, nodes=nodes):
        assert not IPv4Network(pods).overlaps(IPv4Network(services))
        assert 2 ** (24 - IPv4Network(pods).prefixlen) >= nodes
