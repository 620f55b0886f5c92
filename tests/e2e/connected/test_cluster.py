"""A cluster of a connected lab: the release that is shipped for them, its packages and images by a proxy. No bundle.

A POD of its own: how nodes get their software is fixed when they are made.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.connected.conftest import connected_machines
from tests.e2e.outside.connected_release import SHIPPED
from tests.e2e.outside.world import ARCHIVE, MIRROR, PACKAGES, REGISTRY, OutsideWorld
from tests.e2e.small_lab import PAIR, load_yaml

_WRITE_CHART = r"""
mkdir -p /tmp/greeting/templates
printf 'apiVersion: v2\nname: greeting\nversion: 1.0.0\n' > /tmp/greeting/Chart.yaml
cat > /tmp/greeting/templates/configmap.yaml <<'END'
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {hello: "{{ .Values.who }}"}
END
"""
NODES = {"iec01": "172.16.10.36", "iec02": "172.16.10.37"}


@pytest.fixture(scope="module")
def machines(world: OutsideWorld) -> Iterator[Iecpod]:
    with connected_machines(world, PAIR, world.keys) as machines:
        yield machines


@pytest.fixture(scope="module")
def pod(machines: Iecpod) -> Iecpod:
    """The POD, up."""
    machines.check("deploy", timeout=6000)  # beside other work, 50 minutes were too few
    return machines


def test_nodes_are_ready_on_what_the_release_names(pod: Iecpod) -> None:
    version = load_yaml(SHIPPED)["kubernetes_version"]
    nodes = {node["metadata"]["name"]: node["status"] for node in pod.get("nodes")["items"]}
    assert set(nodes) == set(NODES)
    for name, status in nodes.items():
        assert {entry["type"]: entry["status"] for entry in status["conditions"]}["Ready"] == "True"
        assert status["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://2.")
        assert status["nodeInfo"]["kubeletVersion"] == f"v{version}"
        addresses = {entry["type"]: entry["address"] for entry in status["addresses"]}
        assert addresses["InternalIP"] == NODES[name]


def test_the_cluster_was_checked(pod: Iecpod, world: OutsideWorld) -> None:
    """nginx answered, also from pod to pod, and by its name."""
    assert {phase["name"]: phase["outcome"] for phase in pod.report()["phases"]}["verify"] == "done"
    verified = pod.get("--namespace=kube-system", "configmap/iecpod-verified")["data"]
    assert (verified["nodes"], verified["image"]) == (" ".join(NODES), load_yaml(world.release)["nginx_image"])
    assert {"cluster-ip", "jumpserver", "pod-to-pod", "full-packets", "service-name"} <= set(verified["checks"].split())


def test_images_came_through_mirror_and_proxy(pod: Iecpod, world: OutsideWorld) -> None:
    assert {("CONNECT", f"{MIRROR}:443"), ("CONNECT", f"{REGISTRY}:443")} <= set(world.requests())
    assert world.pulled(MIRROR) == {"library/nginx"}
    # The API server is fetched first; controller manager and scheduler are the same image here, by its digest.
    assert world.pulled(REGISTRY) == {"kube-apiserver", "etcd", "kube-proxy", "coredns/coredns", "pause"}


def test_the_pod_s_own_traffic_asks_no_proxy(pod: Iecpod, world: OutsideWorld) -> None:
    refused = pod.run("ssh", "iec02", "--", "sudo", "crictl", "pull", f"{NODES['iec01']}:5000/none")
    assert refused.returncode == 1 and "connection refused" in refused.stderr
    hosts = {target.partition("://")[2].partition("/")[0] or target for target in world.targets()}
    assert hosts == {PACKAGES, ARCHIVE, f"{MIRROR}:443", f"{REGISTRY}:443"}


def test_helm_puts_a_chart_into_the_cluster(pod: Iecpod) -> None:
    helm = ("sudo", "helm", "--kubeconfig=/etc/kubernetes/admin.conf")
    assert pod.on_node("iec01", *helm, "version", "--short").startswith(f"v{load_yaml(SHIPPED)['helm']['version']}")
    pod.on_node("iec01", "sh", "-c", _WRITE_CHART)
    pod.on_node("iec01", *helm, "install", "greeting", "/tmp/greeting", "--set", "who=edge")
    assert pod.get("configmap/greeting")["data"] == {"hello": "edge"}
    pod.on_node("iec01", *helm, "uninstall", "greeting")


def test_a_second_deploy_changes_nothing(pod: Iecpod) -> None:
    pod.check("deploy")
    assert {phase["outcome"] for phase in pod.report()["phases"]} == {"in place"}
    assert pod.run("plan", "--detailed-exitcode").returncode == 0


def test_status_says_ready(pod: Iecpod) -> None:
    status = json.loads(pod.check("status", "--output", "json"))
    assert (status["state"], status["cluster"]["verified"], status["drift"]) == ("ready", True, [])


def test_logs_hold_those_of_containerd_and_of_its_containers(pod: Iecpod, tmp_path: Path) -> None:
    pod.check("logs", str(tmp_path / "logs.tar.gz"))
    with tarfile.open(tmp_path / "logs.tar.gz") as archive:
        names = archive.getnames()
        (runtime,) = (name for name in names if name.endswith("iec01/journal/runtime.log"))
        journal = archive.extractfile(runtime)
        assert journal is not None and b"containerd" in journal.read()
    containers = {name.partition("containers/")[2] for name in names if "iec01/containers/" in name}
    for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert any(name.startswith(f"kube-system_{component}-iec01_") for name in containers)
