"""Guests with unusual NICs: what the node itself has, and what it reaches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.nics.trunk_pod import DEVICES, LAB, MGMT_DEVICE, POD, PUBLIC_DEVICE

_NODE = "iec01"


def links(pod: Iecpod, *command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(pod.on_node(_NODE, *command))
    return [link for link in found if link.get("ifname") != "lo"]


def test_nics_have_the_names_of_the_idf_and_the_planned_addresses(pod: Iecpod) -> None:
    found = {
        link["ifname"]: [f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"]]
        for link in links(pod, "ip", "-j", "-4", "address", "show")
    }
    assert found == {
        MGMT_DEVICE: ["172.16.10.36/24"],
        PUBLIC_DEVICE: ["10.0.19.137/24"],
        "enp1s0": ["192.168.11.21/24"],
    }
    shown = {link["ifname"]: link for link in links(pod, "ip", "-j", "-d", "link", "show")}
    assert set(shown) == {*DEVICES, MGMT_DEVICE, PUBLIC_DEVICE}
    assert {name: link["mtu"] for name, link in shown.items()} == dict.fromkeys(shown, 1500)
    tags = {name: shown[name]["linkinfo"]["info_data"]["id"] for name in (MGMT_DEVICE, PUBLIC_DEVICE)}
    assert tags == {MGMT_DEVICE: 15, PUBLIC_DEVICE: 16}
    assert shown[MGMT_DEVICE]["address"] == shown[PUBLIC_DEVICE]["address"] == shown[DEVICES[0]]["address"]


def test_the_default_route_is_by_the_gateway_behind_a_tag(pod: Iecpod) -> None:
    (route,) = json.loads(pod.on_node(_NODE, "ip", "-j", "route", "show", "default"))
    assert (route["gateway"], route["dev"]) == ("10.0.19.254", PUBLIC_DEVICE)


@pytest.mark.parametrize("neighbour", ["10.0.19.254", "172.16.10.1", "192.168.11.3"])
def test_the_host_is_reached_on_each_network_with_full_packets(pod: Iecpod, neighbour: str) -> None:
    assert "2 received" in pod.on_node(_NODE, "ping", "-c", "2", "-W", "20", "-M", "do", "-s", "1472", neighbour)


def test_a_second_deploy_changes_nothing(pod: Iecpod) -> None:
    pod.check("deploy", "--until", "reachable")
    assert {phase["outcome"] for phase in pod.report()["phases"]} == {"in place"}


def test_links_that_are_gone_come_back(pod: Iecpod) -> None:
    """As after `virsh net-destroy` and `net-start` by an administrator."""
    pod.virsh("net-destroy", f"{LAB}-{POD}-mgmt")
    assert "is not linked to mgmt" in pod.check("plan")
    pod.check("deploy", "--until", "reachable")
    assert pod.on_node(_NODE, "hostname").strip() == _NODE
