"""Requests of phases, given to a real API server over HTTP with the administrator's certificate."""

from __future__ import annotations

import dataclasses
import json
import socket
from contextlib import closing
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from iecpod.cni.calico import CalicoSettings, patch_calico_manifest
from iecpod.cni.calico_operator import render_operator
from iecpod.cni.flannel import FlannelSettings, patch_flannel_manifest
from iecpod.cni.kube_router import render_kube_router
from iecpod.cni.registry import CNIS
from iecpod.deploy.kubectl.api import Api as Requests
from iecpod.deploy.kubectl.bootstrap_token import registered_token
from iecpod.deploy.kubectl.kubectl import Kubectl, api_awaited
from iecpod.deploy.kubectl.node_cidrs import assign_pod_cidrs
from iecpod.deploy.phases.verify import RECORD_PATH, VerifyPhase, is_verified
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.design.manifest_text import ManifestText
from iecpod.errors import ApiRefused
from iecpod.ports import ApiServer
from iecpod.release.scenario import Role
from iecpod.render.smoke_test import APP, render_denial, render_nginx, render_permission
from iecpod.wait import SystemClock
from tests.contract.api_server import Api
from tests.contract.cni.test_pod_networks_applied import shell_of
from tests.eventually import eventually
from tests.fakes import FakeApiServer, FakeShell, fake_phase_tools
from tests.unit.cni.calico_of_the_iec import make_tls
from tests.unit.cni.cni_manifests import FLANNEL, OPERATOR_CRDS

NAMESPACE = "/api/v1/namespaces/default"
WORKER = ClusterNode(
    hostname="api02",
    role=Role.WORKER,
    address=IPv4Address("172.16.10.47"),
    mgmt_device="enp2s0",
    pod_cidr=IPv4Network("100.100.7.0/24"),
)


@pytest.fixture(params=["requests", "kubectl"])
def kubectl(api: Api, request: pytest.FixtureRequest) -> Kubectl:
    """What nodes do by kubectl comes to the same."""
    if request.param == "kubectl":
        return Kubectl(shell_of(api))
    return Kubectl(FakeShell(), None, Requests(api.client, "iec01", applies=True))


def test_an_object_is_found_missing_or_refused(kubectl: Kubectl) -> None:
    found = kubectl.find("/api/v1/namespaces/default")
    assert found is not None and found.at("metadata").text("name") == "default"
    assert kubectl.find("/api/v1/nodes/nobody") is None
    assert kubectl.find("/apis/nobody.example/v1/things/x") is None
    kubectl.discard("/api/v1/nodes/nobody")


def test_a_refusal_has_the_server_s_reason(api: Api) -> None:
    requests = Requests(api.client, "iec01", applies=True)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "Not A Name"}}
    with pytest.raises(ApiRefused, match=r"422: Node .*is invalid"):
        requests.apply(json.dumps(node), timeout_seconds=60)


def test_a_manifest_is_applied_again_without_a_change(kubectl: Kubectl, cluster: DesiredCluster) -> None:
    release = dataclasses.replace(cluster.release, kube_router_image="images.iecpod/kube-router:v2.1.0")
    kube_router = dataclasses.replace(cluster, cni=CNIS["kube-router"], release=release)
    path = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-router"
    kubectl.discard(path)
    generations = []
    for _ in range(2):
        kubectl.apply(render_kube_router(kube_router).text)
        generations.append(kubectl.load(path).at("metadata").integer("generation"))
    assert generations == [1, 1]
    kubectl.discard(path)


def test_what_left_a_manifest_leaves_the_object(api: Api) -> None:
    requests = Requests(api.client, "iec01", applies=True)
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "api-data"}, "data": {"a": "1", "b": "2"}}
    for data in ({"a": "1", "b": "2"}, {"a": "1"}):
        requests.apply(json.dumps({**item, "data": data}), timeout_seconds=60)
        assert api.get("configmap", "api-data")["data"] == data


def test_a_node_has_its_cidr_and_address_before_it_joins(kubectl: Kubectl) -> None:
    path = f"/api/v1/nodes/{WORKER.hostname}"
    kubectl.discard(path)
    for _ in range(2):
        assign_pod_cidrs(kubectl, [WORKER])
        node = kubectl.load(path)
        assert node.at("spec").text("podCIDR") == "100.100.7.0/24"
        addresses = {entry.text("type"): entry.text("address") for entry in node.at("status").entries("addresses")}
        assert addresses == {"InternalIP": "172.16.10.47", "Hostname": "api02"}


@pytest.mark.parametrize("is_fake", [True, False])
def test_changes_are_reported(api: Api, is_fake: bool) -> None:
    server: ApiServer = FakeApiServer() if is_fake else api.client
    requests = Kubectl(FakeShell(), None, Requests(server, "iec01", applies=True))
    name = {True: "fake", False: "real"}[is_fake]
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    path = f"{NAMESPACE}/configmaps"
    requests.create(item)
    watch = requests.watch([f"{path}?fieldSelector=metadata.name%3D{name}"])
    assert watch is not None
    with closing(watch):
        assert eventually(watch.has_changed)  # it is there
        assert not eventually(watch.has_changed, 0.5)
        requests.apply(json.dumps({**item, "data": {"a": "1"}}))
        assert eventually(watch.has_changed)
        requests.discard(f"{path}/{name}")
        assert eventually(watch.has_changed)


def test_a_token_is_a_secret_that_goes(kubectl: Kubectl) -> None:
    with registered_token(kubectl, 60) as token:
        identifier, secret = token.split(".")
        path = f"/api/v1/namespaces/kube-system/secrets/bootstrap-token-{identifier}"
        found = kubectl.load(path)
        assert secret not in json.dumps(found.at("metadata").value)
    assert kubectl.find(path) is None


def test_all_of_the_check_is_removed_and_its_record_stays(kubectl: Kubectl, cluster: DesiredCluster) -> None:
    """The pods are the test's, since no controller makes any here."""
    cluster = dataclasses.replace(cluster, cni=CNIS["kube-router"])
    routes = "".join(f"{node.pod_cidr} via {node.address} dev enp2s0 proto 17\n" for node in cluster.nodes)
    shells = {node.hostname: FakeShell().on("ip", "-4", "route", "show", stdout=routes) for node in cluster.nodes}
    phase = VerifyPhase(cluster, shells, fake_phase_tools(), _never, kubectl_at=lambda _shell: kubectl)
    kubectl.discard(RECORD_PATH)
    assert phase.probe() is None
    kubectl.apply(render_nginx("nginx", spread=True))
    kubectl.apply(render_denial())
    kubectl.apply(render_permission())
    for labels in ({"app": APP}, {"app": "another"}):
        container = {"name": "x", "image": "x"}
        spec = {"containers": [container], "nodeName": "api02", "automountServiceAccountToken": False}
        metadata = {"name": f"api-{labels['app']}", "labels": labels}
        kubectl.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    phase._remove(kubectl, 60)
    left = kubectl.load(f"{NAMESPACE}/pods").entries("items")
    assert [pod.at("metadata").text("name") for pod in left] == ["api-another"]
    kubectl.discard(f"{NAMESPACE}/pods/api-another?gracePeriodSeconds=0")
    for path in (f"{NAMESPACE}/services/{APP}", f"{NAMESPACE}/replicationcontrollers/{APP}"):
        assert kubectl.find(path) is None
    assert kubectl.load("/apis/networking.k8s.io/v1/networkpolicies").entries("items") == ()
    phase._store_record(kubectl)
    assert is_verified(cluster, kubectl.find(RECORD_PATH)) and phase.probe() == "nginx answered"


def _never(_address: str, _port: int, _seconds: float) -> socket.socket:
    raise AssertionError("nothing is fetched")


# Manifests of others

SHARED = Path(__file__).parents[4] / "shared/calico"


def upstream(version: str, name: str) -> ManifestText:
    file = SHARED / version / name
    if not file.exists():
        pytest.skip("Calico's manifests are not on this machine")
    return ManifestText(name, file.read_bytes())


def applied_twice(kubectl: Kubectl, manifest: str, path: str) -> None:
    """The second time leaves what is at `path` as it was."""
    generations = []
    for apply in (kubectl.apply_on_server, kubectl.apply):
        apply(manifest)
        generations.append(kubectl.load(path).at("metadata").integer("generation"))
    assert generations[0] == generations[1]
    kubectl.discard(path)  # other tests use the same API server


@pytest.fixture
def requests(api: Api) -> Kubectl:
    return Kubectl(FakeShell(), None, Requests(api.client, "iec01", applies=True))


@pytest.mark.parametrize("version", ["v3.24.6", "v3.32.1"])
def test_calico_is_applied_by_requests(requests: Kubectl, cluster: DesiredCluster, version: str) -> None:
    patched = patch_calico_manifest([upstream(version, "calico.yaml")], cluster, CalicoSettings(), make_tls)
    applied_twice(requests, patched.text, "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node")


def test_flannel_is_applied_by_requests(requests: Kubectl, cluster: DesiredCluster) -> None:
    patched = patch_flannel_manifest([FLANNEL], dataclasses.replace(cluster, cni=CNIS["flannel"]), FlannelSettings())
    applied_twice(requests, patched.text, "/apis/apps/v1/namespaces/kube-flannel/daemonsets/kube-flannel-ds")
    requests.discard("/api/v1/namespaces/kube-flannel/configmaps/kube-flannel-cfg")


def test_an_operator_and_what_it_is_given_are_applied_by_requests(requests: Kubectl, cluster: DesiredCluster) -> None:
    """The second are of kinds that the first brings."""
    of_operator = dataclasses.replace(cluster, cni=CNIS["calico-operator"])
    operator = upstream("v3.32.1", "tigera-operator.yaml")
    rendered = render_operator([OPERATOR_CRDS, operator], of_operator, CalicoSettings())
    path = "/apis/apps/v1/namespaces/tigera-operator/deployments/tigera-operator"
    applied_twice(requests, rendered.text, path)
    fake_phase_tools(clock=SystemClock()).waits.wait_for(
        "kinds", partial(_apply, requests, rendered.custom_resources), seconds=30
    )
    path = "/apis/operator.tigera.io/v1/installations/default"
    installation = requests.load(path)
    requests.discard(path)
    assert installation.at("spec").at("calicoNetwork").entries("ipPools")[0].text("cidr") == "100.100.0.0/16"


def _apply(kubectl: Kubectl, manifest: str) -> None:
    with api_awaited():
        kubectl.apply(manifest)
