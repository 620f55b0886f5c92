"""kube-router's objects given to a real API server, and the guard of its BGP API in network namespaces of the test."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from iecpod.cni.kube_router import GUARD_UNIT, render_kube_router
from iecpod.cni.registry import CNIS
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.kubectl.node_cidrs import assign_pod_cidrs
from iecpod.deploy.node.cni_files import CniFiles
from iecpod.deploy.phases.pod_network import PodNetworkPhase
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.release.scenario import Role
from tests.contract.api_server import Api
from tests.contract.cni.test_pod_networks_applied import shell_of
from tests.contract.net_namespaces import Namespace, joined
from tests.eventually import eventually
from tests.fakes import fake_phase_tools

WORKER = ClusterNode(
    hostname="iec02",
    role=Role.WORKER,
    address=IPv4Address("172.16.10.37"),
    mgmt_device="enp2s0",
    pod_cidr=IPv4Network("100.100.1.0/24"),
)


@pytest.fixture
def cluster(cluster: DesiredCluster) -> DesiredCluster:
    release = dataclasses.replace(cluster.release, kube_router_image="images.iecpod/kube-router:v2.1.0")
    return dataclasses.replace(cluster, cni=CNIS["kube-router"], release=release)


def test_kube_router_is_taken_whole_and_found_again(
    api: Api, cluster: DesiredCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CniFiles, "install", lambda *_: None)
    monkeypatch.setattr(CniFiles, "is_in_place", lambda *_: True)
    phase = PodNetworkPhase(cluster, {"iec01": shell_of(api)}, lambda: render_kube_router(cluster), fake_phase_tools())
    assert phase.probe() is None
    phase.run()
    assert phase.probe() == "kube-router applied"
    phase.run()
    container = api.get("-n", "kube-system", "daemonset", "kube-router")["spec"]["template"]["spec"]["containers"][0]
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert api.get("clusterrolebinding", "kube-router")["roleRef"]["name"] == "kube-router"
    other = dataclasses.replace(cluster, service_cidr=IPv4Network("10.96.0.0/16"))
    assert dataclasses.replace(phase, cluster=other).probe() is None


def test_a_node_has_its_cidr_and_address_before_it_joins(api: Api) -> None:
    """And the same again changes nothing, since a run may be killed in between."""
    kubectl = Kubectl(shell_of(api))
    for _ in range(2):
        assign_pod_cidrs(kubectl, [WORKER])
        node = api.get("node", "iec02")
        assert (node["spec"]["podCIDR"], node["spec"]["podCIDRs"]) == ("100.100.1.0/24", ["100.100.1.0/24"])
        assert {entry["type"]: entry["address"] for entry in node["status"]["addresses"]} == {
            "InternalIP": "172.16.10.37",
            "Hostname": "iec02",
        }


def test_a_node_that_is_there_gets_its_cidr_and_keeps_its_status(api: Api) -> None:
    bare = '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "iec03", "labels": {"a": "b"}}}'
    assert api.kubectl("create", "-f", "-", stdin=bare).returncode == 0
    third = dataclasses.replace(
        WORKER, hostname="iec03", address=IPv4Address("172.16.10.38"), pod_cidr=IPv4Network("100.100.2.0/24")
    )
    assign_pod_cidrs(Kubectl(shell_of(api)), [third])
    node = api.get("node", "iec03")
    assert node["spec"]["podCIDR"] == "100.100.2.0/24" and node["metadata"]["labels"]["a"] == "b"
    assert "addresses" not in node["status"]


# The guard

_LISTEN = """
import socket, time
servers = [socket.create_server(("0.0.0.0", port)) for port in (50051, 50052)]
time.sleep(60)
"""


@pytest.fixture
def node_and_peer() -> Iterator[tuple[Namespace, ...]]:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        pytest.skip("only root makes network namespaces, and rules need iptables")
    with joined(["172.16.10.37", "172.16.10.99"]) as namespaces:
        yield namespaces


def test_the_bgp_api_is_closed_to_all_but_the_node(
    node_and_peer: tuple[Namespace, Namespace], cluster: DesiredCluster, tmp_path: Path
) -> None:
    node, peer = node_and_peer
    node.start(sys.executable, "-c", _LISTEN, log=tmp_path / "log")
    assert eventually(lambda: peer.connects("172.16.10.37", 50051), 20), "it is open before"
    for _ in range(2):  # a unit that is restarted adds no second rule
        node.run("sh", "-euc", guard_command(cluster))
    assert not peer.connects("172.16.10.37", 50051)
    assert peer.connects("172.16.10.37", 50052)
    assert node.connects("172.16.10.37", 50051) and node.connects("127.0.0.1", 50051)
    assert node.run("iptables", "-t", "raw", "-S", "PREROUTING").stdout.count("--dport 50051") == 1


@pytest.mark.parametrize("has_rules", [True, False])
def test_kube_proxy_is_made_to_renew_rules_that_are_missing(
    node_and_peer: tuple[Namespace, Namespace], cluster: DesiredCluster, tmp_path: Path, has_rules: bool
) -> None:
    node, _peer = node_and_peer
    node.run("iptables", "-t", "mangle", "-N", "KUBE-PROXY-CANARY")
    if has_rules:
        node.run("iptables", "-t", "nat", "-N", "KUBE-SERVICES")
    (tmp_path / "sleep").write_text(f"#!/bin/sh\nmkdir {tmp_path}/slept\n")  # once, and the loop ends
    (tmp_path / "sleep").chmod(0o755)
    node.run("sh", "-uc", f"PATH={tmp_path}:$PATH\n{guard_command(cluster, 'ExecStart')}")
    assert ("-N KUBE-PROXY-CANARY" in node.run("iptables", "-t", "mangle", "-S").stdout) == has_rules


def guard_command(cluster: DesiredCluster, key: str = "ExecStartPre") -> str:
    """What systemd gives to the shell."""
    unit = cluster.cni.node_files(cluster, WORKER)[f"/etc/systemd/system/{GUARD_UNIT}"]
    (start,) = (line for line in unit.splitlines() if line.startswith(f"{key}="))
    return start.removeprefix(f"{key}=/bin/sh -c ").strip("'")
