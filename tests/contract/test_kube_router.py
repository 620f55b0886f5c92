"""kube-router's objects given to a real API server, and the guard of its BGP API in network namespaces of the test."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.design.scenario import Cni, Role
from iecpod.phases.cni_kube_router import KubeRouterPhase
from iecpod.phases.kubectl import Kubectl
from iecpod.phases.node_cidrs import assign_pod_cidrs
from iecpod.phases.node_network import NodeNetwork
from iecpod.render.kube_router import GUARD_UNIT, render_node_network
from tests.contract.api_server import Api
from tests.contract.test_pod_networks_applied import shell_of
from tests.fakes import fake_watch

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
    return dataclasses.replace(cluster, cni=Cni.KUBE_ROUTER, release=release)


def test_kube_router_is_taken_whole_and_found_again(
    api: Api, cluster: DesiredCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeNetwork, "install", lambda *_: None)
    monkeypatch.setattr(NodeNetwork, "is_in_place", lambda *_: True)
    phase = KubeRouterPhase(cluster, {"iec01": shell_of(api)}, fake_watch())
    assert phase.probe() is None
    phase.run()
    assert phase.probe() == "kube-router applied"
    phase.run()
    container = api.get("-n", "kube-system", "daemonset", "kube-router")["spec"]["template"]["spec"]["containers"][0]
    assert container["securityContext"] == {"privileged": True}
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
import socket, sys, time
servers = [socket.create_server(("0.0.0.0", port)) for port in (50051, 50052)]
print("ready", flush=True)
time.sleep(60)
"""
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()"
_SETUP = """
ip link set lo up
ip link add mgmt type veth peer name peer netns "$1"
ip addr add 172.16.10.37/24 dev mgmt
ip link set mgmt up
nsenter --target "$1" --net sh -euc 'ip link set lo up; ip addr add 172.16.10.99/24 dev peer; ip link set peer up'
"""


class Namespace:
    """A network namespace that lives as long as the process that holds it."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo made; exec sleep 120"], stdout=subprocess.PIPE
        )
        assert self.holder.stdout is not None and self.holder.stdout.readline()

    def argv(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self.holder.pid), "--net", *argv]

    def connects(self, address: str, port: int) -> bool:
        argv = self.argv(sys.executable, "-c", _CONNECT, address, str(port))
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def end(self) -> None:
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def node_and_peer() -> Iterator[tuple[Namespace, Namespace]]:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        pytest.skip("only root makes network namespaces, and rules need iptables")
    node, peer = Namespace(), Namespace()
    try:
        subprocess.run(node.argv("sh", "-euc", _SETUP, "setup", str(peer.holder.pid)), check=True)
        yield node, peer
    finally:
        node.end()
        peer.end()


def test_the_bgp_api_is_closed_to_all_but_the_node(
    node_and_peer: tuple[Namespace, Namespace], cluster: DesiredCluster
) -> None:
    node, peer = node_and_peer
    server = subprocess.Popen(node.argv(sys.executable, "-c", _LISTEN), stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None and server.stdout.readline()
        assert peer.connects("172.16.10.37", 50051), "it is open before"
        for _ in range(2):  # a unit that is restarted adds no second rule
            subprocess.run(node.argv("sh", "-euc", guard_command(cluster)), check=True)
        assert not peer.connects("172.16.10.37", 50051)
        assert peer.connects("172.16.10.37", 50052)
        assert node.connects("172.16.10.37", 50051) and node.connects("127.0.0.1", 50051)
        rules = subprocess.run(
            node.argv("iptables", "-t", "raw", "-S", "PREROUTING"), capture_output=True, text=True, check=True
        ).stdout
        assert rules.count("--dport 50051") == 1
    finally:
        server.kill()
        server.wait()


def guard_command(cluster: DesiredCluster) -> str:
    """What systemd gives to the shell."""
    unit = render_node_network(cluster, WORKER)[f"/etc/systemd/system/{GUARD_UNIT}"]
    (start,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    return start.removeprefix("ExecStart=/bin/sh -c ").strip("'")
