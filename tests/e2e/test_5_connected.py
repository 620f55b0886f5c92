"""The way of connected labs: packages by apt from signed repositories, images from registries, all of it by a proxy.

No bundle. Two PODs of their own, one after the other: a cluster on docker, and a node with containerd.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.adapters.reporters import LogReporter
from iecpod.design.release_file import load_release
from iecpod.model import Arch
from tests.e2e.conftest import HostSnapshot, Iecpod
from tests.e2e.outside.lab import LAB, ROOT, packages_of, write_lab
from tests.e2e.outside.servers import Servers
from tests.e2e.outside.world import ARCHIVE, MIRROR, PACKAGES, PROXY, PROXY_PORT, REGISTRY, OutsideWorld, make_world

NODES = {"iec01": "172.16.10.36", "iec02": "172.16.10.37"}
CACHE = Path(os.environ.get("IECPOD_CACHE_DIR", "/var/cache/iecpod"))


@pytest.fixture(scope="module")
def before() -> HostSnapshot:
    return HostSnapshot.take()


@pytest.fixture(scope="module")
def root(before: HostSnapshot) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("the embedded hypervisor needs root")
    if Arch.of_this_machine() is not Arch.X86_64:
        pytest.skip("the PODs are of x86_64, whose programs this machine does not run")
    root = Path(tempfile.mkdtemp(prefix="iecpod-e2e-connected-"))
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def world(root: Path) -> OutsideWorld:
    write_lab(root / "lab")
    bundled = load_release("debian12", ROOT / "iecpod/releases", ROOT / "schemas")
    return make_world(root / "world", bundled, packages_of(root / "lab"), CACHE, LogReporter())


def options(root: Path, world: OutsideWorld, runtime: str) -> tuple[str, ...]:
    return (
        *("-b", f"file://{root}/lab", "-c", "embedded", "-s", "k8-bridge-iec-noha"),
        *("--release", f"{root}/lab/{runtime}.yaml", "--http-proxy", f"http://{PROXY}:{PROXY_PORT}"),
        *("--registry-mirror", f"docker.io=https://{MIRROR}"),
        *("--ca-cert", str(world.certificates.authority)),
    )


@pytest.fixture(scope="module")
def machines(root: Path, world: OutsideWorld) -> Iterator[Iecpod]:
    """Two machines that boot."""
    command = Iecpod(root, LAB, "virtual1")
    try:
        wrong = ("--repository-key", f"lab={world.wrong_key}")
        command.check("deploy", *options(root, world, "docker"), *wrong, "--until", "domains")
        yield command
    finally:
        command.run("teardown")


@pytest.fixture(scope="module")
def servers(machines: Iecpod, world: OutsideWorld) -> Iterator[Servers]:
    with world.at(machines.host) as servers:
        yield servers


Refused = tuple[subprocess.CompletedProcess[str], list[str]]


@pytest.fixture(scope="module")
def refused(machines: Iecpod, servers: Servers, world: OutsideWorld) -> Refused:
    """A deploy with a key that has not signed the repository, and what the proxy had been asked for by then."""
    done = machines.run("deploy", "--until", "runtime")
    return done, targets(world)


@pytest.fixture(scope="module")
def pod(root: Path, machines: Iecpod, world: OutsideWorld, refused: Refused) -> Iecpod:
    """The POD, up: its first deploy was refused, and the next went on with the right key."""
    machines.check("deploy", *options(root, world, "docker"), "--repository-key", f"lab={world.key}")
    return machines


def test_packages_that_another_key_signed_are_refused(refused: Refused) -> None:
    done, asked = refused
    assert done.returncode == 1, done.stderr
    assert "NO_PUBKEY" in done.stderr and f"http://{PACKAGES}/kubernetes stable InRelease" in done.stderr
    assert "--repository-key lab=FILE" in done.stderr
    assert f"http://{PACKAGES}/kubernetes/dists/stable/InRelease" in asked
    assert not [target for target in asked if target.endswith(".deb")]


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


def test_packages_are_the_archive_s_and_the_repository_s(pod: Iecpod, world: OutsideWorld) -> None:
    told = pod.on_node("iec02", "apt-cache", "policy", "docker.io", "kubeadm")
    docker, kubeadm = (version.splitlines()[1].strip() for version in told.split("***")[1:])
    assert docker.startswith(f"500 http://{ARCHIVE}/debian")
    assert kubeadm == f"500 http://{PACKAGES}/kubernetes stable/main amd64 Packages"
    assert set(pod.on_node("iec02", "apt-mark", "showhold").split()) == {"kubeadm", "kubectl", "kubelet"}
    fetched = {target.rpartition("/")[2].partition("_")[0] for target in targets(world) if target.endswith(".deb")}
    assert {"docker.io", "containerd", "runc", "kubeadm", "kubelet", "kubectl", "cri-tools"} <= fetched


def test_only_its_own_key_vouches_for_the_repository(pod: Iecpod) -> None:
    assert "Signed-By: /etc/apt/keyrings/lab.gpg" in pod.on_node("iec02", "cat", "/etc/apt/sources.list.d/lab.sources")
    verify = "gpgv --keyring /etc/apt/keyrings/lab.gpg /var/lib/apt/lists/packages.lab.example_*_InRelease 2>&1"
    assert 'Good signature from "signing@lab.example"' in pod.on_node("iec02", "sh", "-c", verify)
    trusted = pod.on_node("iec02", "sh", "-c", "ls /etc/apt/trusted.gpg.d /etc/apt/trusted.gpg || true").split()
    assert [name for name in trusted if not name.startswith(("debian-archive-", "/etc/apt/trusted.gpg"))] == []
    settings = pod.on_node("iec02", "apt-config", "dump").splitlines()
    assert [line for line in settings if "::Allow" in line and not line.endswith('"0";')] == []


def test_images_came_through_mirror_and_proxy(pod: Iecpod, world: OutsideWorld) -> None:
    assert {("CONNECT", f"{MIRROR}:443"), ("CONNECT", f"{REGISTRY}:443")} <= set(world.requests())
    assert world.pulled(MIRROR) == {"library/nginx"}
    components = {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd", "pause"}
    assert world.pulled(REGISTRY) == components


def test_the_pod_s_own_traffic_asks_no_proxy(pod: Iecpod, world: OutsideWorld) -> None:
    refused = pod.run("ssh", "iec02", "--", "sudo", "docker", "pull", f"{NODES['iec01']}:5000/none")
    assert refused.returncode == 1 and "connection refused" in refused.stderr
    hosts = {target.partition("://")[2].partition("/")[0] or target for target in targets(world)}
    assert hosts == {PACKAGES, ARCHIVE, f"{MIRROR}:443", f"{REGISTRY}:443"}


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


def test_teardown_leaves_nothing(machines: Iecpod, servers: Servers, before: HostSnapshot) -> None:
    servers.stop()
    printed = machines.check("teardown")
    assert f"removed domain {LAB}-virtual1-iec01" in printed
    assert HostSnapshot.take() == before
    assert not machines.pod_dir.exists()


def test_containerd_goes_to_mirror_and_proxy(root: Path, world: OutsideWorld) -> None:
    """On a machine of its own, up to the runtime: what is pulled there shows who was asked."""
    command = Iecpod(root, LAB, "virtual2")
    key = ("--repository-key", f"lab={world.key}")
    try:
        command.check("deploy", *options(root, world, "containerd"), *key, "--until", "domains")
        with world.at(command.host):
            known = len(world.requests())
            command.check("deploy", "--until", "runtime")
            pulled = command.on_node(
                "iec01", "sudo", "crictl", "pull", "docker.io/library/nginx:stable", "k8s.gcr.io/pause:3.2"
            )
            asked = world.requests()[known:]
    finally:
        command.run("teardown")
    assert pulled.count("sha256:") == 2
    assert {("CONNECT", f"{MIRROR}:443"), ("CONNECT", f"{REGISTRY}:443")} <= set(asked)


def targets(world: OutsideWorld) -> list[str]:
    return [target for _, target in world.requests()]
