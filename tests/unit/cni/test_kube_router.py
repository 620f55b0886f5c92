"""kube-router: what is rendered, and the phases that know of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from iecpod.cni.kube_router import render_daemon_set, render_kube_router
from iecpod.cni.registry import CNIS
from iecpod.deploy.node.cni_files import CHECK, INSTALL
from iecpod.deploy.phases.pod_network import PodNetworkPhase
from iecpod.deploy.phases.verify import RECORD_PATH, VerifyPhase, record_of
from iecpod.deploy.phases.workers import LOOK, WorkersPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import WaitTimeout
from iecpod.release.scenario import load_scenarios, select_scenario
from iecpod.yaml.document import load_yaml_all
from tests.fakes import FakeShell, fake_phase_tools
from tests.fakes.jobs import jobs_of, on_job
from tests.fakes.probes import IN_PLACE, MISSING
from tests.unit.golden_files import check_golden

ROOT = Path(__file__).parents[3]
KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
DAEMON_SET = "--raw=/apis/apps/v1/namespaces/kube-system/daemonsets/kube-router"
PODS = "--raw=/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-router"
CONFLIST = "/etc/cni/net.d/10-iecpod.conflist"
GUARD = "/etc/systemd/system/iecpod-kube-router-guard.service"


@pytest.fixture
def cluster(cluster: DesiredCluster) -> DesiredCluster:
    release = dataclasses.replace(cluster.release, kube_router_image="images.iecpod/kube-router:v2.1.0")
    return dataclasses.replace(cluster, release=release, cni=CNIS["kube-router"])


def test_the_manifest_is_as_read(cluster: DesiredCluster) -> None:
    check_golden("releases/manifests/kube-router.yaml", render_kube_router(cluster).text)


def test_the_scenario_is_there() -> None:
    scenario = select_scenario("k8-kube-router-iec-noha", load_scenarios(ROOT / "iecpod/scenarios", ROOT / "schemas"))
    assert scenario.cni == "kube-router" and CNIS[scenario.cni].enforces_policies


def test_it_neither_serves_services_nor_tunnels_nor_reaches_into_the_host(cluster: DesiredCluster) -> None:
    pod = render_daemon_set(cluster)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "--run-service-proxy=false" in container["args"] and "--enable-overlay=false" in container["args"]
    assert not any(argument.startswith("--advertise") for argument in container["args"])
    assert f"--service-cluster-ip-range={cluster.service_cidr}" in container["args"]
    assert "hostPID" not in pod and "initContainers" not in pod
    assert (
        "privileged" not in container["securityContext"]
        and not container["securityContext"]["allowPrivilegeEscalation"]
    )
    assert [volume["hostPath"]["path"] for volume in pod["volumes"]] == ["/run/xtables.lock"]


def test_its_role_is_to_read(cluster: DesiredCluster) -> None:
    documents = [document.data for document in load_yaml_all(render_kube_router(cluster).text, "x")]
    (role,) = (data for data in documents if isinstance(data, dict) and data["kind"] == "ClusterRole")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_a_node_has_its_planned_cidr_and_mtu_on_kube_router_s_bridge(cluster: DesiredCluster) -> None:
    jumbo = dataclasses.replace(cluster, mgmt_mtu=9000)
    bridge = json.loads(jumbo.cni.node_files(jumbo, jumbo.nodes[1])[CONFLIST])["plugins"][0]
    assert (bridge["bridge"], bridge["mtu"]) == ("kube-bridge", 9000)
    assert bridge["ipam"]["ranges"] == [[{"subnet": "100.100.1.0/24"}]]


def test_the_guard_closes_the_bgp_api_of_the_node_alone(cluster: DesiredCluster) -> None:
    unit = cluster.cni.node_files(cluster, cluster.nodes[1])[GUARD]
    rule = "PREROUTING ! -i lo -d 172.16.10.37 -p tcp --dport 50051 -j DROP"
    assert f"iptables -w -t raw -C {rule} 2>/dev/null || iptables -w -t raw -A {rule}" in unit


# The phase


def node_shells(cluster: DesiredCluster, *, have_files: bool = True) -> dict[str, FakeShell]:
    return {
        node.hostname: FakeShell(node.hostname).on("sh", "-c", CHECK, stdout=IN_PLACE if have_files else MISSING)
        for node in cluster.nodes
    }


def phase_of(cluster: DesiredCluster, shells: Mapping[str, FakeShell]) -> PodNetworkPhase:
    return PodNetworkPhase(cluster, shells, lambda: render_kube_router(cluster), fake_phase_tools())


def test_it_is_applied_once_the_nodes_have_their_files(cluster: DesiredCluster) -> None:
    shells = node_shells(cluster)
    shells["iec01"].on(*KUBECTL, "apply")
    for shell in shells.values():
        shell.on("sh", "-euc", INSTALL)
    phase_of(cluster, shells).run()
    for node in cluster.nodes:
        (installed,) = (call for call in shells[node.hostname].calls if call[:3] == ("sh", "-euc", INSTALL))
        pairs = [word for pair in cluster.cni.node_files(cluster, node).items() for word in pair]
        assert list(installed[4:]) == ["iecpod-kube-router-guard.service", *pairs]
    own, manifest = (sent for call, sent in zip(shells["iec01"].calls, shells["iec01"].inputs, strict=True) if sent)
    assert podcidrs(own) == {"iec01": "100.100.0.0/24", "iec02": "100.100.1.0/24", "iec03": "100.100.2.0/24"}
    assert manifest == render_kube_router(cluster).text.encode()


def podcidrs(sent: bytes) -> dict[str, str]:
    nodes = [document.data for document in load_yaml_all(sent, "x")]
    return {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in nodes if isinstance(node, dict)}


@pytest.mark.parametrize(
    ("change", "have_files", "found"),
    [
        ({}, True, "kube-router applied"),
        ({}, False, None),
        ({"service_cidr": "10.96.0.0/16"}, True, None),
        (None, True, None),
    ],
)
def test_it_is_in_place_with_its_options_and_files(
    cluster: DesiredCluster, change: dict[str, Any] | None, have_files: bool, found: str | None
) -> None:
    shells = node_shells(cluster, have_files=have_files)
    if change is None:
        shells["iec01"].on(*KUBECTL, "get", DAEMON_SET, stderr="Error from server (NotFound)", returncode=1)
    else:
        there = json.dumps(render_daemon_set(dataclasses.replace(cluster, **change)))
        shells["iec01"].on(*KUBECTL, "get", DAEMON_SET, stdout=there)
    assert phase_of(cluster, shells).probe() == found


# Workers


def listed(*nodes: tuple[str, str]) -> str:
    """By name and boot, as the API lists them."""
    items = [{"metadata": {"name": name}, "status": {"nodeInfo": {"bootID": boot}}} for name, boot in nodes]
    return json.dumps({"items": items})


def join_workers(cluster: DesiredCluster, nodes: str) -> FakeShell:
    """Returns the first node's shell."""
    first = FakeShell("iec01").on(*KUBECTL, "get", "--raw=/api/v1/nodes", stdout=nodes)
    first.on(*KUBECTL, "get", "--raw=/api/v1/nodes", stdout=listed(*((node.hostname, "b") for node in cluster.nodes)))
    first.on("openssl", stdout=(Path(__file__).parents[1] / "data/ca.pub").read_text())
    first.on(*KUBECTL, "delete", stderr="Error from server (NotFound): x", returncode=1)
    first.on(*KUBECTL, "create").on(*KUBECTL, "apply")
    shells = {"iec01": first}
    for worker in cluster.workers:
        shell = shells[worker.hostname] = on_job(FakeShell(worker.hostname)).on("rm")
        shell.on("sh", "-c", LOOK, stdout="kubelet.conf=no\njob=inactive\n").on("mkdir")
    WorkersPhase(cluster, shells, fake_phase_tools()).run()
    assert all(jobs_of(shells[worker.hostname]) for worker in cluster.workers)
    return first


def applied(first: FakeShell) -> list[dict[str, str]]:
    return [podcidrs(sent) for call, sent in zip(first.calls, first.inputs, strict=True) if "apply" in call]


def test_nodes_that_await_their_kubelets_are_no_machines_of_before(cluster: DesiredCluster) -> None:
    first = join_workers(cluster, listed(("iec01", "b"), ("iec02", ""), ("iec03", "")))
    assert not any("/api/v1/nodes/" in argument for call in first.calls for argument in call if "delete" in call)
    assert applied(first) == []


def test_a_machine_that_was_replaced_is_listed_again_with_its_cidr(cluster: DesiredCluster) -> None:
    first = join_workers(cluster, listed(("iec01", "b"), ("iec02", "former"), ("iec03", "")))
    assert first.called(*KUBECTL, "delete", "--raw=/api/v1/nodes/iec02")
    assert applied(first) == [{"iec02": "100.100.1.0/24"}]


def test_a_node_that_is_not_listed_at_all_is_listed_with_address_and_cidr(cluster: DesiredCluster) -> None:
    first = join_workers(cluster, listed(("iec01", "b"), ("iec03", "")))
    assert applied(first) == [{"iec02": "100.100.1.0/24"}]
    (sent,) = (sent for call, sent in zip(first.calls, first.inputs, strict=True) if "apply" in call)
    data = load_yaml_all(sent, "x")[0].data
    assert isinstance(data, dict) and data["status"]["addresses"][0]["address"] == "172.16.10.37"


# Routes


def verified_shells(cluster: DesiredCluster, *tables: str) -> dict[str, FakeShell]:
    """Of a cluster that was verified; `tables` are the routes that iec02 has, one after the other."""
    shells = {node.hostname: FakeShell(node.hostname) for node in cluster.nodes}
    shells["iec01"].on(*KUBECTL, "get", f"--raw={RECORD_PATH}", stdout=json.dumps({"data": record_of(cluster)}))
    shells["iec01"].on("ip", stdout=routes(cluster, 1, 2))
    shells["iec03"].on("ip", stdout=routes(cluster, 0, 1))
    for table in tables:
        shells["iec02"].on("ip", stdout=table)
    return shells


def routes(cluster: DesiredCluster, *others: int) -> str:
    lines = [f"{cluster.nodes[n].pod_cidr} via {cluster.nodes[n].address} dev enp2s0 proto 17" for n in others]
    return "\n".join(["default via 10.0.0.1 dev enp4s0", *lines, ""])


def verify(cluster: DesiredCluster, shells: Mapping[str, FakeShell]) -> VerifyPhase:
    return VerifyPhase(cluster, shells, fake_phase_tools(), lambda *_: pytest.fail("nothing is fetched"))


def test_what_was_verified_needs_its_routes_and_no_other_check(cluster: DesiredCluster) -> None:
    shells = verified_shells(cluster, routes(cluster), routes(cluster, 0), routes(cluster, 0, 2))
    assert verify(cluster, shells).probe() is None
    verify(cluster, shells).run()
    assert len([call for call in shells["iec02"].calls if call[0] == "ip"]) == 3
    assert not any("apply" in call for call in shells["iec01"].calls)
    assert verify(cluster, shells).probe() == "nginx answered"


def test_a_route_that_does_not_come_is_named(cluster: DesiredCluster) -> None:
    shells = verified_shells(cluster, routes(cluster, 0))
    with pytest.raises(WaitTimeout) as caught:
        verify(cluster, shells).run()
    assert caught.value.last_seen == "iec02 has no route to the pods of iec03"
    assert "logs daemonset/kube-router" in caught.value.remedy
