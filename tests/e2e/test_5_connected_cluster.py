"""A cluster of a connected lab, on docker: packages and images by a proxy, from a mirror where one is named. No bundle.

A POD of its own: how nodes get their software is fixed when they are made.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from iecpod.images.cache import Cache
from tests.e2e.conftest import HostSnapshot, Iecpod, check_teardown, connected_machines
from tests.e2e.outside.helm import served_helm
from tests.e2e.outside.releases import add_helm
from tests.e2e.outside.servers import Servers
from tests.e2e.outside.world import ARCHIVE, MIRROR, PACKAGES, REGISTRY, OutsideWorld
from tests.e2e.small_lab import PAIR

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

Machines = tuple[Iecpod, Servers]


@pytest.fixture(scope="module")
def machines(host_before: HostSnapshot, world: OutsideWorld, cache: Cache) -> Iterator[Machines]:
    with ExitStack() as stack:
        if shutil.which("npm"):
            add_helm(world.root / "lab", "docker", stack.enter_context(served_helm(cache)))
        yield stack.enter_context(connected_machines(world, PAIR, "docker", world.key))


@pytest.fixture(scope="module")
def pod(machines: Machines) -> Iecpod:
    """The POD, up."""
    command, _ = machines
    command.check("deploy")
    return command


def test_nodes_are_ready_on_docker(pod: Iecpod) -> None:
    nodes = {node["metadata"]["name"]: node["status"] for node in pod.get("nodes")["items"]}
    assert set(nodes) == set(NODES)
    for name, status in nodes.items():
        assert {entry["type"]: entry["status"] for entry in status["conditions"]}["Ready"] == "True"
        assert status["nodeInfo"]["containerRuntimeVersion"].startswith("docker://20.10.")
        addresses = {entry["type"]: entry["address"] for entry in status["addresses"]}
        assert addresses["InternalIP"] == NODES[name]


def test_nginx_answered_also_from_pod_to_pod(pod: Iecpod) -> None:
    assert {phase["name"]: phase["outcome"] for phase in pod.report()["phases"]}["verify"] == "done"
    assert pod.get("--namespace=kube-system", "configmap/iecpod-verified")["data"]["nodes"] == " ".join(NODES)


def test_images_came_through_mirror_and_proxy(pod: Iecpod, world: OutsideWorld) -> None:
    assert {("CONNECT", f"{MIRROR}:443"), ("CONNECT", f"{REGISTRY}:443")} <= set(world.requests())
    assert world.pulled(MIRROR) == {"library/nginx"}
    components = {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "pause"}
    assert world.pulled(REGISTRY) == components


def test_the_pod_s_own_traffic_asks_no_proxy(pod: Iecpod, world: OutsideWorld) -> None:
    refused = pod.run("ssh", "iec02", "--", "sudo", "docker", "pull", f"{NODES['iec01']}:5000/none")
    assert refused.returncode == 1 and "connection refused" in refused.stderr
    hosts = {target.partition("://")[2].partition("/")[0] or target for target in world.targets()}
    assert hosts == {PACKAGES, ARCHIVE, f"{MIRROR}:443", f"{REGISTRY}:443"}


def test_helm_puts_a_chart_into_the_cluster(pod: Iecpod) -> None:
    if shutil.which("npm") is None:
        pytest.skip("Helm comes from npm, which is not here")
    helm = ("sudo", "helm", "--kubeconfig=/etc/kubernetes/admin.conf")
    assert pod.on_node("iec01", *helm, "version", "--short").startswith("v3.6.2+")
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


def test_logs_hold_those_of_docker_and_of_its_containers(pod: Iecpod, tmp_path: Path) -> None:
    pod.check("logs", str(tmp_path / "logs.tar.gz"))
    with tarfile.open(tmp_path / "logs.tar.gz") as archive:
        names = archive.getnames()
        (runtime,) = (name for name in names if name.endswith("iec01/journal/runtime.log"))
        journal = archive.extractfile(runtime)
        assert journal is not None and b"dockerd" in journal.read()
    containers = {name.partition("containers/")[2] for name in names if "iec01/containers/" in name}
    for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert any(name.startswith(f"kube-system_{component}-iec01_") for name in containers)


def test_teardown_leaves_nothing(machines: Machines, host_before: HostSnapshot) -> None:
    command, servers = machines
    servers.stop()
    check_teardown(command, host_before)
