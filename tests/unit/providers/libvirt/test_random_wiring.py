"""What validate and plan accept is a network configuration that works, by a model that shares no code with it."""

from __future__ import annotations

import random
import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from iecpod.commands.plan import make_pod_plan
from iecpod.errors import DescriptorError, Severity
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.model import NetworkName
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.objects import DesiredDomain
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan
from iecpod.providers.libvirt.rendered import RenderedDomain
from iecpod.yaml.document import load_yaml
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.random_wiring import Wiring, make_wiring
from tests.unit.command_line import layout_below, write_pod

#: Of netplan's and cloud-init's version 2, and nothing else.
_COMMON = {"mtu", "dhcp4", "dhcp6", "accept-ra", "addresses", "link-local", "optional", "routes", "nameservers"}
_KEYS = {"ethernets": _COMMON | {"match", "set-name"}, "vlans": _COMMON | {"id", "link"}}


def plan_wiring(directory: Path, wiring: Wiring) -> LibvirtPlan | None:
    """None where descriptors or plan are refused."""
    write_pod(directory, REF.lab, REF.pod, wiring.pdf, wiring.idf)
    layout = layout_below(directory)
    request = pod_request(
        ref=REF, base_uri=str(directory), release="debian12", scenario="k8-bridge-iec-noha", uri=EMBEDDED
    )
    try:
        inputs = resolve_request(request, layout, SavedPod())
    except DescriptorError:
        return None
    result = make_pod_plan(inputs, FakeTools(directory, layout, facts=wiring.facts))
    if any(problem.severity is Severity.ERROR for problem in result.problems):
        return None
    assert isinstance(result.planned, LibvirtPlan)
    return result.planned


def config_of(rendered: RenderedDomain) -> dict[str, Any]:
    """Keys that stand twice are no YAML for this reader."""
    data = load_yaml(rendered.seed.network_config, "network-config").data
    assert isinstance(data, dict)
    return data


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_accepted_works(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    planned = plan_wiring(tmp_path_factory.mktemp("pod"), make_wiring(random.Random(seed)))
    assume(planned is not None)
    assert planned is not None
    for rendered in planned.rendered.domains:
        config = config_of(rendered)
        check_form(config)
        check_names(config, rendered.domain)
        check_addresses(config, planned, rendered.domain)
        check_routes(config, planned)
    check_wires(planned.desired)


def test_most_are_accepted(tmp_path: Path) -> None:
    """Else the other test says little."""
    accepted = [plan_wiring(tmp_path / str(seed), make_wiring(random.Random(seed))) is not None for seed in range(40)]
    assert accepted.count(True) >= 15


def check_form(config: dict[str, Any]) -> None:
    assert set(config) <= {"version", "ethernets", "vlans"} and config["version"] == 2
    for kind, keys in _KEYS.items():
        for device in config.get(kind, {}).values():
            assert set(device) <= keys
            assert isinstance(device["mtu"], int) and 68 <= device["mtu"] <= 65535
            assert (device["dhcp4"], device["dhcp6"], device["accept-ra"]) == (False, False, False)
            assert all(IPv4Interface(address) for address in device.get("addresses", ()))
            assert all(set(route) == {"to", "via"} for route in device.get("routes", ()))
            assert all(IPv4Address(server) for server in device.get("nameservers", {}).get("addresses", ()))


def check_names(config: dict[str, Any], domain: DesiredDomain) -> None:
    nics, vlans = config["ethernets"], config.get("vlans", {})
    assert not set(nics) & set(vlans)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", name) for name in (*nics, *vlans))
    assert all(name == nic["set-name"] for name, nic in nics.items())
    macs = [nic["match"]["macaddress"] for nic in nics.values()]
    assert sorted(macs) == sorted(vnic.mac for vnic in domain.vnics) and len(set(macs)) == len(macs)
    tags = [(vlan["link"], vlan["id"]) for vlan in vlans.values()]
    assert len(set(tags)) == len(tags) and all(link in nics and 1 <= tag <= 4094 for link, tag in tags)
    assert all(vlan["mtu"] <= nics[vlan["link"]]["mtu"] for vlan in vlans.values())
    buses = {
        vnic.bus: next(n for n, nic in nics.items() if nic["match"]["macaddress"] == vnic.mac) for vnic in domain.vnics
    }
    assert len(buses) == len(nics) and domain.root_bus not in buses
    for bus, name in buses.items():
        kernel_name = f"enp{bus}s0"
        assert kernel_name == name or kernel_name not in (*nics, *vlans), f"{name} is another NIC's from the start"


def check_addresses(config: dict[str, Any], planned: LibvirtPlan, domain: DesiredDomain) -> None:
    """Each network of the plan is on one device, with the planned address."""
    index = next(i for i, other in enumerate(planned.desired.domains) if other.hostname == domain.hostname)
    spec, allocation = planned.order.spec, planned.order.allocation
    expected = {
        f"{address}/{network.cidr.prefixlen}"
        for network in spec.idf.networks
        if network.cidr is not None and (address := allocation.node_addresses.get((index, network.name)))
    }
    devices = {**config["ethernets"], **config.get("vlans", {})}
    found = [address for device in devices.values() for address in device.get("addresses", ())]
    assert sorted(found) == sorted(expected)
    mgmt = planned.pod.cluster.nodes[index]
    assert any(address.startswith(f"{mgmt.address}/") for address in devices[mgmt.mgmt_device]["addresses"])


def check_routes(config: dict[str, Any], planned: LibvirtPlan) -> None:
    routes = []
    for device in (*config["ethernets"].values(), *config.get("vlans", {}).values()):
        neighbours = [IPv4Interface(address).network for address in device.get("addresses", ())]
        for route in device.get("routes", ()):
            assert any(IPv4Address(route["via"]) in network for network in neighbours), "its next hop is no neighbour"
            routes.append(IPv4Network(route["to"]))
    assert len(routes) == 1, "one default route, or that to services"
    services = planned.pod.cluster.service_cidr
    assert services.subnet_of(routes[0]), "services are reached on nodes"


def check_wires(desired: DesiredMachines) -> None:
    """Every frame of a node gets to the network's bridge untagged, and to none else."""
    bridges = {network.name: network.bridge for network in desired.networks}
    assert len(set(bridges.values())) == len(bridges)
    untag = {(link.trunk, link.vlan): link.bridge for link in desired.vlan_links}
    assert len(untag) == len(desired.vlan_links)
    made = {network.network: network.bridge for network in desired.networks if network.network is not None}
    places: dict[NetworkName, set[tuple[str, int | None]]] = {}
    for domain in desired.domains:
        for vnic in domain.vnics:
            plug = vnic.host_bridge or bridges[vnic.libvirt_network or ""]
            for network in vnic.networks:
                places.setdefault(network.network, set()).add((plug, network.vlan))
                if vnic.host_bridge is None:
                    arrived = plug if network.vlan is None else untag[plug, network.vlan]
                    assert arrived == made[network.network]
    assert all(len(found) == 1 for found in places.values()), "all nodes are on one wire"
    # A lab may name one bridge for two networks, and is warned of it.
    ours = [place for name, found in places.items() for place in found if name in made]
    assert len(set(ours)) == len(ours), "no two networks are one"
