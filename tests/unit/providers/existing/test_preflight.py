"""Everything that keeps machines from becoming nodes: each rule broken once, and all of them at once."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import pytest

from iecpod.cni.registry import CNIS
from iecpod.design.cluster import DesiredCluster
from iecpod.design.owner import Owner
from iecpod.errors import CommandFailed, NodeUnreachable, Problem, Severity
from iecpod.model import Arch, PodRef
from iecpod.providers.existing.node_facts import NodeFacts, NodeLink, NodeRoute, Swap
from iecpod.providers.existing.paths import CONNECT, LISTEN, check_paths
from iecpod.providers.existing.preflight import check_nodes, taken_networks
from tests.fakes import FakeShell
from tests.unit.commands.test_rules import NODE_RULES
from tests.unit.providers.existing.existing_machine import INSTALLATION, facts, of_pod

OWNER = Owner(ref=PodRef("nodes", "edge"), installation=INSTALLATION)


def check(cluster: DesiredCluster, changed: Mapping[int, NodeFacts], **release: Any) -> list[Problem]:
    base = {"base_os": "debian12", **release}
    cluster = dataclasses.replace(cluster, release=dataclasses.replace(cluster.release, **base))
    found = {f"iec0{number}": changed.get(number, facts(number)) for number in (1, 2, 3)}
    return list(check_nodes(found, cluster, dict.fromkeys(found, Arch.X86_64), OWNER))


def link(**changes: Any) -> tuple[NodeLink, ...]:
    good = NodeLink("enp2s0", "52:54:00:00:00:02", 1500, (IPv4Interface("172.16.10.37/24"),))
    return (dataclasses.replace(good, **changes),)


def test_good_machines_have_no_problem(cluster: DesiredCluster) -> None:
    assert check(cluster, {}) == []


#: Rule, what is changed of the second machine (a worker), and the message.
CASES: Sequence[tuple[str, dict[str, Any], str]] = (
    (
        "node-os",
        {"os_name": "ubuntu2204", "os_title": "Ubuntu 22.04"},
        "it runs Ubuntu 22.04, and release test is made for debian12",
    ),
    ("node-arch", {"machine": "aarch64"}, "it is a machine of architecture aarch64, and the PDF says x86_64"),
    ("node-systemd", {"has_systemd": False}, "systemd does not run there"),
    ("node-program", {"programs": facts().programs - {"perl", "ip"}}, "it has no ip and no perl"),
    (
        "node-module",
        {"modules": {**facts().modules, "overlay": "missing"}},
        "its kernel 6.1.0-18-amd64 has no module overlay",
    ),
    ("node-memory", {"memory_mib": 512}, "its memory is 512 MiB, and 700 MiB are needed"),
    ("node-memory", {"memory_mib": None}, "its memory could not be read, and 700 MiB are needed"),
    ("node-cpus", {"cpus": None}, "the number of its processors could not be read, and kubeadm requires 1"),
    ("node-disk", {"free_mib": 1000}, "free space below /var/lib is 1000 MiB, and 4096 MiB are needed"),
    (
        "node-swap",
        {"swaps": (Swap("/dev/vda5", 8000, 4000),)},
        "4000 MiB of its swap are in use, and 3000 MiB of memory are available: it cannot be switched off",
    ),
    ("node-swap", {"swaps": None}, "its swap could not be read"),
    ("node-time", {"skew_seconds": -75.2}, "its clock is 75 s behind this machine's"),
    ("node-time", {"skew_seconds": 4000.0}, "its clock is 4000 s ahead of this machine's"),
    ("node-time", {"skew_seconds": None}, "its clock is not known by this machine's"),
    (
        "node-has-cluster",
        {"clusters": ("/etc/kubernetes/kubelet.conf",), "units": frozenset({"kubelet"})},
        "it belongs to a cluster already, or did: /etc/kubernetes/kubelet.conf, kubelet.service runs",
    ),
    (
        "node-has-cluster",
        {"clusters": None},
        "whether it belongs to a cluster is unknown: what is in /etc and /var/lib could not be read",
    ),
    (
        "node-has-cluster",
        {"units": None},
        "whether it belongs to a cluster is unknown: which services run, by systemd, could not be read",
    ),
    (
        "node-has-runtime",
        {"units": frozenset({"docker"})},
        "docker.service runs there: deploy replaces its configuration and restarts it",
    ),
    (
        "node-port",
        {"listening": frozenset({22, 10250, 10256, 6443})},
        "something listens on TCP 10250, 10256 there, which Kubernetes needs",
    ),
    ("node-port", {"listening": None}, "what listens there could not be read"),
    (
        "node-has-cluster",
        {"programs": facts().programs | {"kubelet", "kubeadm", "vim"}},
        "kubelet and kubeadm of others are installed there, and not in use",
    ),
    (
        "node-has-runtime",
        {"programs": facts().programs | {"dockerd"}},
        "dockerd is installed there, and does not run: deploy may replace its configuration",
    ),
    ("node-hostname", {"hostname": "edge1"}, "its host name edge1 is also that of iec02"),
    (
        "node-product-uuid",
        {"product_uuid": "00000000-0000-0000-0000-000000000001"},
        "its product_uuid 00000000-0000-0000-0000-000000000001 is also that of iec02",
    ),
    ("node-machine-id", {"machine_id": f"{1:032x}"}, f"its machine-id {1:032x} is also that of iec02"),
    ("node-mac", {"links": link(mac="52:54:00:00:00:01")}, "its MAC 52:54:00:00:00:01 is also that of iec02"),
    ("node-address", {"links": ()}, "none of its interfaces has 172.16.10.37, its address on mgmt"),
    ("node-device", {"links": link(name="eth1")}, "172.16.10.37 is on its interface eth1, and the IDF says enp2s0"),
    ("node-mtu", {"links": link(mtu=1400)}, "its interface enp2s0 has an MTU of 1400, and nodes are to have 1500"),
    (
        "node-network",
        {"links": link(addresses=(IPv4Interface("172.16.10.37/32"),))},
        "some nodes are behind a router for it, and bridge sends packets of pods to them directly",
    ),
    (
        "node-of-another-pod",
        {"owner": of_pod("nodes/other")},
        f"it is node iec01 of POD nodes/other, which installation {INSTALLATION} of iecpod deployed",
    ),
    (
        "node-of-another-pod",
        {"owner": of_pod(installation="00000000-0000-4000-8000-000000000000")},
        "it is node iec01 of POD nodes/edge, which installation 00000000-0000-4000-8000-000000000000 of iecpod "
        "deployed",
    ),
    ("node-of-another-pod", {"owner": of_pod(node="iec03")}, "it is node iec03 of this POD already"),
    ("node-of-another-pod", {"record_is_odd": True}, "it has a record of iecpod that names no owner"),
)


@pytest.mark.parametrize(("rule", "changes", "message"), CASES)
def test_a_rule_is_broken_once(cluster: DesiredCluster, rule: str, changes: dict[str, Any], message: str) -> None:
    problems = check(cluster, {2: facts(2, **changes)})
    assert [(problem.rule, problem.message) for problem in problems] == [(rule, message)]
    where = "node iec01" if "is also that of" in message else "node iec02"
    assert problems[0].path == where and problems[0].remedy
    assert problems[0].severity is (Severity.WARNING if rule == "node-has-runtime" else Severity.ERROR)


def test_cgroup_v1_is_refused_by_new_kubelets_only(cluster: DesiredCluster) -> None:
    old = {2: facts(2, has_cgroup_2=False)}
    assert check(cluster, old, kubernetes_version="1.34.2") == []
    (problem,) = check(cluster, old, kubernetes_version="1.37.2")
    assert problem.message == "it has cgroup v1, and the kubelet of 1.37.2 starts on v2 only"
    assert problem.rule == "node-cgroup"


def test_every_rule_is_tried() -> None:
    elsewhere = {"node-cgroup", "node-path", "node-login"}
    assert len(NODE_RULES) > 20
    assert NODE_RULES - {rule for rule, _, _ in CASES} - elsewhere == set()


def test_the_control_plane_needs_more(cluster: DesiredCluster) -> None:
    small = {1: facts(1, memory_mib=1699, cpus=1, listening=frozenset({6443}))}
    assert [problem.message for problem in check(cluster, small)] == [
        "its memory is 1699 MiB, and 1700 MiB are needed",
        "the number of its processors is 1, and kubeadm requires 2",
        "something listens on TCP 6443 there, which Kubernetes needs",
    ]
    ignored = {"ignored_preflight_checks": ("NumCPU", "Mem")}
    assert [problem.rule for problem in check(cluster, small, **ignored)] == ["node-port"]


def test_all_problems_of_all_machines_are_found_at_once(cluster: DesiredCluster) -> None:
    bad = {
        1: facts(1, os_name="centos7", has_systemd=False),
        2: facts(2, memory_mib=100, skew_seconds=90.0),
        3: facts(3, listening=frozenset({10250}), links=()),
    }
    found = [(problem.path, problem.rule) for problem in check(cluster, bad)]
    assert found == [
        ("node iec01", "node-os"),
        ("node iec01", "node-systemd"),
        ("node iec02", "node-memory"),
        ("node iec02", "node-time"),
        ("node iec03", "node-port"),
        ("node iec03", "node-address"),
    ]


def test_what_the_pod_itself_has_made_is_in_nobodys_way(cluster: DesiredCluster) -> None:
    ours = {
        "owner": of_pod(node="iec02"),
        "clusters": ("/etc/kubernetes/kubelet.conf",),
        "units": frozenset({"kubelet", "containerd"}),
        "programs": facts().programs | {"kubelet", "kubeadm", "containerd"},
        "listening": frozenset({10250}),
        "free_mib": 100,
    }
    assert check(cluster, {2: facts(2, **ours)}) == []


def test_a_network_behind_a_router_is_for_tunnels(cluster: DesiredCluster) -> None:
    routed = {2: facts(2, links=link(addresses=(IPv4Interface("172.16.10.37/32"),)))}
    assert check(dataclasses.replace(cluster, cni=CNIS["calico"]), routed) == []


def test_one_architecture_a_cluster(cluster: DesiredCluster) -> None:
    found = {f"iec0{number}": facts(number) for number in (1, 2)} | {"iec03": facts(3, machine="aarch64")}
    archs = {"iec01": Arch.X86_64, "iec02": Arch.X86_64, "iec03": Arch.AARCH64}
    problems = check_nodes(found, cluster, archs, OWNER)
    assert [problem.message for problem in problems] == [
        "its architecture is aarch64, that of the control plane x86_64"
    ]


def test_networks_of_nodes_are_taken_once(cluster: DesiredCluster) -> None:
    pods = (NodeRoute(IPv4Network("100.100.1.0/24"), "enp2s0"), NodeRoute(IPv4Network("10.0.0.0/8"), "tun0"))
    found = {"iec01": facts(1, routes=pods), "iec02": facts(2, routes=pods)}
    taken = {str(network.cidr): network.owner for network in taken_networks(found, cluster, OWNER)}
    assert taken == {
        "100.100.1.0/24": "interface enp2s0 of iec01",
        "10.0.0.0/8": "interface tun0 of iec01",
        "172.16.10.0/24": "interface enp2s0 of iec01",
    }
    ours = {"iec01": facts(1, routes=pods, owner=of_pod())}
    assert "100.100.1.0/24" not in {str(network.cidr) for network in taken_networks(ours, cluster, OWNER)}


def path_shells(replies: Mapping[str, str]) -> dict[str, FakeShell]:
    shells = {}
    for name, said in replies.items():
        shells[name] = FakeShell(name).on("sh", "-c").on("systemctl", "stop").on("perl", "-e", stdout=said)
    return shells


def test_closed_ways_are_found_in_both_directions(cluster: DesiredCluster) -> None:
    shells = path_shells(
        {
            "iec01": "tcp:172.16.10.37:10250 IO::Socket::INET: connect: timeout\n",
            "iec02": "tcp:172.16.10.36:6443 IO::Socket::INET: connect: No route to host\nnonsense\n",
            "iec03": "",
        }
    )
    problems = check_paths(shells, cluster, {})
    assert [(problem.path, problem.message, problem.rule) for problem in problems] == [
        ("node iec01", "it does not reach iec02 at 172.16.10.37:10250 (TCP): timeout", "node-path"),
        ("node iec02", "it does not reach iec01 at 172.16.10.36:6443 (TCP): No route to host", "node-path"),
    ]
    asked = next(call for call in shells["iec02"].calls if call[0] == "perl")[3:]
    assert asked == ("tcp:172.16.10.36:6443", "tcp:172.16.10.36:10250", "tcp:172.16.10.38:10250")
    assert all(shell.called("systemctl", "stop") for shell in shells.values())


def test_listeners_are_ended_whatever_happens(cluster: DesiredCluster) -> None:
    shells = path_shells({"iec01": "", "iec02": "", "iec03": ""})
    shells["iec03"] = FakeShell("iec03").on("sh", "-c").reply(("perl",), NodeUnreachable("iec03", "gone"))
    shells["iec03"].reply(("systemctl", "stop"), CommandFailed("iec03", ["systemctl"], 1, ""))
    with pytest.raises(NodeUnreachable):
        check_paths(shells, cluster, {})
    assert shells["iec01"].called("systemctl", "stop")


def test_one_node_has_no_way_to_check(cluster: DesiredCluster) -> None:
    alone = dataclasses.replace(cluster, nodes=cluster.nodes[:1])
    assert check_paths({"iec01": FakeShell()}, alone, {}) == ()


def test_perl_listens_and_connects() -> None:
    targets = [f"{transport}:127.0.0.1:{port}" for transport in ("tcp", "udp") for port in (39251, 39252)]
    with subprocess.Popen(["perl", "-e", LISTEN, "127.0.0.1", "tcp:39251", "udp:39252", "tcp:39253"]) as listener:
        try:
            argv = ["perl", "-e", CONNECT, *targets, "tcp:127.0.0.1:39253"]
            for _ in range(50):
                said = subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout
                if said.count("\n") == 2:
                    break
        finally:
            listener.kill()
    assert said.splitlines() == [
        "tcp:127.0.0.1:39252 IO::Socket::INET: connect: Connection refused",
        "udp:127.0.0.1:39251 no answer",
    ]


#: Pod network, what is changed of the second machine, and the message.
OF_NETWORKS: Sequence[tuple[str, dict[str, Any], str]] = (
    ("flannel", {"udp_ports": frozenset({8472})}, "something listens on UDP 8472 there, which flannel needs"),
    ("flannel", {"udp_ports": None}, "what listens there could not be read"),
    (
        "kube-router",
        {"listening": frozenset({179, 50051})},
        "something listens on TCP 179, 50051 there, which kube-router needs",
    ),
    ("calico", {"listening": frozenset({179})}, "something listens on TCP 179 there, which calico needs"),
    (
        "calico-operator",
        {"listening": frozenset({5473})},
        "something listens on TCP 5473 there, which calico-operator needs",
    ),
    (
        "flannel",
        {"modules": {**facts().modules, "vxlan": "missing"}},
        "its kernel 6.1.0-18-amd64 has no module vxlan",
    ),
    (
        "kube-router",
        {"modules": {**facts().modules, "ip_set": "missing"}},
        "its kernel 6.1.0-18-amd64 has no module ip_set",
    ),
)


@pytest.mark.parametrize(("name", "changes", "message"), OF_NETWORKS)
def test_a_pod_network_needs_ports_and_modules(
    cluster: DesiredCluster, name: str, changes: dict[str, Any], message: str
) -> None:
    found = check(dataclasses.replace(cluster, cni=CNIS[name]), {2: facts(2, **changes)})
    assert [problem.message for problem in found] == [message]
    assert check(cluster, {2: facts(2, **changes)}) == [], "bridge needs none of it"


def test_ways_of_the_pod_network_are_tried_where_something_can_answer(cluster: DesiredCluster) -> None:
    flannel = dataclasses.replace(cluster, cni=CNIS["flannel"])
    shells = path_shells({"iec01": "udp:172.16.10.37:8472 no answer\n", "iec02": "", "iec03": ""})
    (problem,) = check_paths(shells, flannel, {"iec03": frozenset({8472})})
    assert problem.message == "it does not reach iec02 at 172.16.10.37:8472 (UDP): no answer"
    asked = next(call for call in shells["iec01"].calls if call[0] == "perl")[3:]
    assert asked == (
        *("tcp:172.16.10.37:10250", "udp:172.16.10.37:8472"),
        "tcp:172.16.10.38:10250",
    )
