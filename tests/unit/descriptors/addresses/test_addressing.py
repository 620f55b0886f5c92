"""Addresses of nodes: Fuel's formula, the compact one, and what does not fit."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.descriptors.addresses.addressing import Allocation, Scheme, allocate
from iecpod.descriptors.parse import parse_pod
from iecpod.descriptors.pod_files import load_descriptors
from iecpod.model import Network, NetworkName, PodRef, PodSpec, StatedAddress
from tests.unit.descriptors.broken_pod import ROOT, Edits, break_pod
from tests.unit.descriptors.test_crosscheck import IPMI

ADMIN, MGMT, PRIVATE, PUBLIC = NetworkName.ADMIN, NetworkName.MGMT, NetworkName.PRIVATE, NetworkName.PUBLIC


def pod(lab: str = "arm", name: str = "virtual2", *, nodes: int = 3) -> PodSpec:
    ref = PodRef(lab, name)
    spec = parse_pod(ref, load_descriptors(str(ROOT / "pdf"), ref).descriptors)
    first = spec.pdf.nodes[0]
    many = tuple(dataclasses.replace(first, name=f"node-{index + 1}") for index in range(nodes))
    return dataclasses.replace(spec, pdf=dataclasses.replace(spec.pdf, nodes=many))


def with_network(spec: PodSpec, name: NetworkName, **changes: object) -> PodSpec:
    networks = tuple(
        dataclasses.replace(network, **changes) if network.name is name else network  # type: ignore[arg-type]
        for network in spec.idf.networks
    )
    return dataclasses.replace(spec, idf=dataclasses.replace(spec.idf, networks=networks))


def ip_range(first: str, last: str) -> tuple[IPv4Address, IPv4Address]:
    return IPv4Address(first), IPv4Address(last)


def addresses(allocation: Allocation, name: NetworkName) -> list[str]:
    return [str(address) for (_, network), address in allocation.node_addresses.items() if network is name]


def messages(spec: PodSpec, scheme: Scheme = "fuel") -> list[tuple[str, str, str, str]]:
    return [
        (problem.rule, problem.path, problem.message, problem.remedy) for problem in allocate(spec, scheme).problems
    ]


def test_arm_virtual2_as_jobs_expect_it() -> None:
    found = allocate(pod(), "fuel")
    assert found.problems == ()
    assert addresses(found, ADMIN) == ["192.168.11.21", "192.168.11.22", "192.168.11.23"]
    assert addresses(found, MGMT) == ["172.16.10.36", "172.16.10.37", "172.16.10.38"]
    assert addresses(found, PUBLIC) == ["10.0.19.137", "10.0.19.138", "10.0.19.139"]
    assert addresses(found, PRIVATE) == []
    assert found.admin_dhcp_range == ip_range("192.168.11.36", "192.168.11.254")
    assert {name: str(address) for name, address in found.host_addresses.items()} == {
        ADMIN: "192.168.11.3",
        MGMT: "172.16.10.1",
        PUBLIC: "10.0.19.254",
    }
    # Fuel would say .141 to .253, addresses that are not this POD's: ip-range ends at .139.
    assert found.public_pool is None


def test_arm_virtual1() -> None:
    assert addresses(allocate(pod(name="virtual1"), "fuel"), PUBLIC) == ["10.0.19.127", "10.0.19.128", "10.0.19.129"]


def test_local_virtual1() -> None:
    found = allocate(pod("local", "virtual1"), "fuel")
    assert found.problems == ()
    assert found.host_addresses[PUBLIC] == IPv4Address("10.0.19.1")
    assert found.public_pool == ip_range("10.0.19.141", "10.0.19.150")


def with_stated(spec: PodSpec, *stated: tuple[str, str, int | None]) -> PodSpec:
    entries = tuple(StatedAddress(IPv4Address(address), owner, node) for address, owner, node in stated)
    return dataclasses.replace(spec, pdf=dataclasses.replace(spec.pdf, stated_addresses=entries))


def test_addresses_that_the_pdf_gives_to_bmcs_and_nics_are_taken() -> None:
    spec = with_stated(
        pod(),
        ("172.16.10.36", "NIC 2 of node-1", 0),  # its own
        ("172.16.10.37", "the BMC of node-1", 0),
        ("172.16.10.38", "NIC 1 of the jump host", None),
        ("172.16.10.1", "NIC 2 of the jump host", None),  # the host itself
    )
    remedy = "move ip-range, so that it begins behind that address"
    assert messages(spec) == [
        (
            "address-taken",
            "idf.net_config.mgmt.ip-range",
            "node-2 would get 172.16.10.37, which is the address of the BMC of node-1",
            remedy,
        ),
        (
            "address-taken",
            "idf.net_config.mgmt.ip-range",
            "node-3 would get 172.16.10.38, which is the address of NIC 1 of the jump host",
            remedy,
        ),
    ]


def test_compact_addresses_and_pools_pass_over_them() -> None:
    plain = allocate(pod(), "compact")
    first, second, third = (IPv4Address(address) for address in addresses(plain, MGMT))
    assert second == first + 1 and plain.admin_dhcp_range is not None
    spec = with_stated(
        pod(),
        (str(first), "the BMC of node-1", 0),
        (str(third), "the BMC of node-2", 1),
        (str(plain.admin_dhcp_range[0]), "the BMC of node-3", 2),
    )
    found = allocate(spec, "compact")
    assert found.problems == ()
    assert addresses(found, MGMT) == [str(second), str(second + 2), str(second + 3)]
    assert found.admin_dhcp_range == (plain.admin_dhcp_range[0] + 1, plain.admin_dhcp_range[1])


def test_stated_addresses_are_read_from_the_pdf() -> None:
    edits: Edits = {
        "jumphost.interfaces[0].address": "10.0.19.5/24",
        "nodes[1].interfaces[2].address": "172.16.10.40",
        "nodes[2].remote_management": IPMI,
    }
    stated = parse_pod(PodRef("unit", "virtual"), break_pod(edits)).pdf.stated_addresses
    assert [(str(entry.address), entry.owner, entry.node) for entry in stated] == [
        ("198.51.100.2", "the BMC of the jump host", None),
        ("10.0.19.5", "NIC 1 of the jump host", None),
        ("10.0.19.137", "NIC 4 of node-1", 0),
        ("172.16.10.40", "NIC 3 of node-2", 1),
        ("10.0.19.138", "NIC 4 of node-2", 1),
        ("198.51.100.9", "the BMC of node-3", 2),
    ]


@pytest.mark.parametrize(
    ("cidr", "range_", "expected"),
    [
        ("10.0.0.0/15", None, "10.0.0.36-10.1.255.254"),
        ("10.0.0.0/15", ("10.0.250.0", "10.1.0.9"), "10.0.250.35-10.1.0.9"),
        ("10.0.0.0/15", ("10.0.250.0", "10.0.255.9"), ""),
        ("10.0.0.0/16", None, ""),
    ],
)
def test_libvirt_gives_out_addresses_of_one_slash_16(cidr: str, range_: tuple[str, str] | None, expected: str) -> None:
    changes = {"cidr": IPv4Network(cidr), "ip_range": ip_range(*range_) if range_ else None}
    spec = with_network(pod("local", "virtual1"), ADMIN, **changes)
    found = messages(spec)
    assert found == (
        [
            (
                "dhcp-range-too-wide",
                "idf.net_config.admin.ip-range",
                f"DHCP on admin would give out {expected}, and libvirt takes no range beyond one /16",
                "use a network with mask 16 or more, or an ip-range that ends within the same /16",
            )
        ]
        if expected
        else []
    )
    on_a_bridge = dataclasses.replace(spec, idf=dataclasses.replace(spec.idf, bridges=((ADMIN, "pxebr"),)))
    assert messages(on_a_bridge) == []


def test_the_whole_network_where_there_is_no_range() -> None:
    spec = with_network(with_network(pod(), MGMT, ip_range=None), PUBLIC, ip_range=None)
    found = allocate(spec, "fuel")
    assert addresses(found, MGMT) == ["172.16.10.27", "172.16.10.28", "172.16.10.29"]
    assert addresses(found, PUBLIC) == ["10.0.19.8", "10.0.19.9", "10.0.19.10"]
    assert found.public_pool == ip_range("10.0.19.12", "10.0.19.253")


def test_nodes_beyond_the_third_follow_the_lists_as_computes_do() -> None:
    spec = with_network(pod(nodes=5), PUBLIC, ip_range=ip_range("10.0.19.130", "10.0.19.250"))
    found = allocate(spec, "fuel")
    assert found.problems == ()
    assert addresses(found, ADMIN)[3:] == ["192.168.11.36", "192.168.11.37"]
    assert addresses(found, MGMT)[3:] == ["172.16.10.55", "172.16.10.56"]
    assert addresses(found, PUBLIC)[3:] == ["10.0.19.141", "10.0.19.142"]
    assert found.admin_dhcp_range == ip_range("192.168.11.38", "192.168.11.254")
    assert found.public_pool == ip_range("10.0.19.143", "10.0.19.250")


def test_range_that_ends_too_early() -> None:
    assert messages(pod(nodes=4)) == [
        (
            "address-beyond-range",
            "idf.net_config.public.ip-range",
            "the range 10.0.19.130-10.0.19.139 ends before the addresses of node-4 (10.0.19.141)",
            "make the range larger, or use the compact addressing",
        )
    ]


def test_network_that_ends_too_early() -> None:
    spec = with_network(pod(), MGMT, cidr=IPv4Network("172.16.10.0/27"), ip_range=None)
    assert messages(spec) == []
    spec = with_network(
        pod(), MGMT, cidr=IPv4Network("172.16.10.0/27"), ip_range=ip_range("172.16.10.3", "172.16.10.30")
    )
    assert messages(spec) == [
        (
            "address-exhausted",
            "idf.net_config.mgmt.ip-range",
            "172.16.10.3-172.16.10.30 has no address for node-3",
            "make the range larger, or use the compact addressing",
        )
    ]
    spec = with_network(pod(nodes=9), ADMIN, cidr=IPv4Network("192.168.11.0/29"))
    assert messages(spec)[0] == (
        "address-exhausted",
        "idf.net_config.admin.ip-range",
        "192.168.11.0/29 has no address for node-1, node-2, node-3, node-4, node-5 and 4 more",
        "make the range larger, or use the compact addressing",
    )


def test_address_of_the_gateway() -> None:
    spec = with_network(pod(), PUBLIC, gateway=IPv4Address("10.0.19.138"))
    assert messages(spec) == [
        (
            "address-taken",
            "idf.net_config.public.ip-range",
            "node-2 would get 10.0.19.138, which is the address of the gateway",
            "move ip-range, so that it begins behind that address",
        )
    ]


def test_address_of_the_host() -> None:
    spec = with_network(pod(), MGMT, cidr=IPv4Network("172.16.10.32/27"), ip_range=None)
    assert messages(spec) == []
    spec = with_network(
        pod(), MGMT, cidr=IPv4Network("172.16.10.32/27"), ip_range=ip_range("172.16.10.7", "172.16.10.62")
    )
    assert messages(spec)[0][2] == "node-1 would get 172.16.10.33, which is the address of the host"


def test_gateway_that_nodes_cannot_reach() -> None:
    spec = with_network(pod(), PUBLIC, gateway=IPv4Address("10.0.20.1"))
    assert messages(spec) == [
        (
            "gateway-unreachable",
            "idf.net_config.public.gateway",
            "nodes cannot reach the gateway 10.0.20.1: it is outside 10.0.19.0/24",
            "correct gateway, network or mask",
        )
    ]
    assert allocate(spec, "fuel").host_addresses[PUBLIC] == IPv4Address("10.0.19.1")


def test_stated_public_pool() -> None:
    spec = pod("local", "virtual1")
    pool = ip_range("10.0.19.138", "10.0.19.150")
    spec = dataclasses.replace(spec, idf=dataclasses.replace(spec.idf, public_pool=pool))
    found = allocate(spec, "fuel")
    assert found.public_pool == pool
    assert [(problem.rule, problem.path, problem.message) for problem in found.problems] == [
        (
            "address-in-pool",
            "idf.fuel.network.public_pool",
            f"node-{n} would get 10.0.19.13{n + 6}, which is in the public pool",
        )
        for n in (2, 3)
    ]


@pytest.mark.parametrize(
    ("gateway", "pool", "owner"),
    [
        ("10.0.19.200", ("10.0.19.190", "10.0.19.210"), "the gateway has 10.0.19.200"),
        (None, ("10.0.19.1", "10.0.19.1"), "the host would get 10.0.19.1"),
    ],
)
def test_stated_public_pool_with_somebody_else_in_it(gateway: str | None, pool: tuple[str, str], owner: str) -> None:
    spec = with_network(pod(), PUBLIC, gateway=IPv4Address(gateway) if gateway else None)
    spec = dataclasses.replace(spec, idf=dataclasses.replace(spec.idf, public_pool=ip_range(*pool)))
    found = allocate(spec, "compact").problems
    assert [(problem.rule, problem.message, problem.remedy) for problem in found][:1] == [
        (
            "address-in-pool",
            f"{owner}, which is in the public pool",
            "let the pool begin behind the addresses of host, gateway and nodes, or end before",
        )
    ]


def test_computed_pools_pass_over_a_gateway_in_their_midst() -> None:
    spec = with_network(
        pod(), PUBLIC, gateway=IPv4Address("10.0.19.170"), ip_range=ip_range("10.0.19.130", "10.0.19.250")
    )
    assert allocate(spec, "fuel").public_pool == ip_range("10.0.19.171", "10.0.19.250")


def test_compact() -> None:
    found = allocate(pod(), "compact")
    assert found.problems == ()
    assert addresses(found, ADMIN) == ["192.168.11.2", "192.168.11.3", "192.168.11.4"]
    assert addresses(found, MGMT) == ["172.16.10.10", "172.16.10.11", "172.16.10.12"]
    assert addresses(found, PUBLIC) == ["10.0.19.130", "10.0.19.131", "10.0.19.132"]
    assert found.host_addresses[ADMIN] == IPv4Address("192.168.11.1")
    assert found.admin_dhcp_range == ip_range("192.168.11.5", "192.168.11.254")
    assert found.public_pool == ip_range("10.0.19.133", "10.0.19.139")


def test_compact_passes_over_gateway_and_host() -> None:
    spec = with_network(
        pod(), PUBLIC, gateway=IPv4Address("10.0.19.131"), ip_range=ip_range("10.0.19.130", "10.0.19.139")
    )
    assert addresses(allocate(spec, "compact"), PUBLIC) == ["10.0.19.130", "10.0.19.132", "10.0.19.133"]


def test_a_pod_without_public_network() -> None:
    spec = pod()
    networks = tuple(network for network in spec.idf.networks if network.name is not PUBLIC)
    spec = dataclasses.replace(spec, idf=dataclasses.replace(spec.idf, networks=networks))
    found = allocate(spec, "fuel")
    assert addresses(found, PUBLIC) == [] and found.public_pool is None and found.problems == ()


@st.composite
def networks(draw: st.DrawFn, name: NetworkName) -> Network:
    cidr = IPv4Network((draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 32))), strict=False)
    inside = st.integers(int(cidr.network_address), int(cidr.broadcast_address)).map(IPv4Address)
    ends = sorted((draw(inside), draw(inside)))
    return Network(
        name=name,
        interface=0,
        cidr=cidr,
        ip_range=(ends[0], ends[1]) if draw(st.booleans()) else None,
        gateway=draw(st.none() | inside | st.integers(0, 2**32 - 1).map(IPv4Address)),
    )


BASE = pod()


@pytest.mark.parametrize("scheme", ["fuel", "compact"])
@settings(deadline=None)  # machines are shared
@given(data=st.data())
def test_addresses_are_sound_or_reported(scheme: Scheme, data: st.DataObject) -> None:
    found_networks = tuple(data.draw(networks(name)) for name in (ADMIN, MGMT, PUBLIC))
    nodes = BASE.pdf.nodes[:1] * data.draw(st.integers(1, 40))
    every = [
        network.cidr[offset]
        for network in found_networks
        if network.cidr
        for offset in range(min(200, network.cidr.num_addresses))
    ]
    stated = tuple(
        StatedAddress(address, "a BMC", data.draw(st.none() | st.integers(0, 3)))
        for address in data.draw(st.lists(st.sampled_from(every), max_size=5))
    )
    spec = dataclasses.replace(
        BASE,
        pdf=dataclasses.replace(BASE.pdf, nodes=nodes, stated_addresses=stated),
        idf=dataclasses.replace(BASE.idf, networks=found_networks),
    )
    found = allocate(spec, scheme)
    shown = {problem.path.split(".")[2] for problem in found.problems}
    for network in found_networks:
        assert network.cidr is not None
        taken = [address for (_, name), address in found.node_addresses.items() if name is network.name]
        host = found.host_addresses[network.name]
        assert host in network.cidr and all(address in network.cidr for address in taken)
        assert len(set(taken)) == len(taken)
        if network.name.value in shown:
            continue
        assert len(taken) == len(nodes)
        assert host not in taken and network.gateway not in taken
        given = {(address, index) for (index, name), address in found.node_addresses.items() if name is network.name}
        assert not any((s.address, index) in given for s in stated for index in range(len(nodes)) if index != s.node)
        if network.ip_range:
            assert all(network.ip_range[0] <= address <= network.ip_range[1] for address in taken)
    for name, pool in ((ADMIN, found.admin_dhcp_range), (PUBLIC, found.public_pool)):
        cidr = next(network.cidr for network in found_networks if network.name is name)
        if pool is not None and cidr is not None:
            assert pool[0] <= pool[1] and pool[0] in cidr and pool[1] in cidr
            inside = [a for (_, on), a in found.node_addresses.items() if on is name and pool[0] <= a <= pool[1]]
            assert inside == []
            gateway = next(network.gateway for network in found_networks if network.name is name)
            for address in (gateway, found.host_addresses[name], *(s.address for s in stated)):
                assert address is None or not pool[0] <= address <= pool[1]
