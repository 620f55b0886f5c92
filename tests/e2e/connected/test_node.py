"""A node of a connected lab: packages by apt from signed repositories, all of it by a proxy. No bundle.

A POD of its own, of one machine, up to the runtime. Its release is the one that is shipped for connected labs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.connected.conftest import connected_machines
from tests.e2e.outside.connected_release import IMAGES, SHIPPED
from tests.e2e.outside.world import ARCHIVE, MIRROR, PACKAGES, REGISTRY, OutsideWorld
from tests.e2e.small_lab import SINGLE, load_yaml


@pytest.fixture(scope="module")
def machine(world: OutsideWorld) -> Iterator[Iecpod]:
    """It boots, and has been given a key that has not signed the repository of Kubernetes."""
    with connected_machines(world, SINGLE, {**world.keys, "kubernetes": world.wrong_key}) as machine:
        yield machine


Refused = tuple[subprocess.CompletedProcess[str], list[str]]


@pytest.fixture(scope="module")
def refused(machine: Iecpod, world: OutsideWorld) -> Refused:
    """A deploy that resumes with that key, and what the proxy had been asked for by then."""
    done = machine.run("deploy", "--until", "runtime")
    return done, world.targets()


@pytest.fixture(scope="module")
def node(machine: Iecpod, world: OutsideWorld, refused: Refused) -> Iecpod:
    """The node, with its software: its first deploy was refused, and the next resumed with the right key."""
    machine.check("deploy", "--repository-key", f"kubernetes={world.keys['kubernetes']}", "--until", "runtime")
    return machine


def test_the_release_is_the_shipped_one_but_for_digests_and_the_place_of_helm(world: OutsideWorld) -> None:
    """Whose content is the stand-ins' own."""
    shipped, used = (path.read_text().splitlines() for path in (SHIPPED, world.release))
    changed = [(old, new) for old, new in zip(shipped, used, strict=True) if old != new]
    assert [old.strip().partition(":")[0] for old, _ in changed] == [*IMAGES, "x86_64", "x86_64"]
    assert all(old.partition("@")[0] == new.partition("@")[0] for old, new in changed[: len(IMAGES)])
    old, new = load_yaml(SHIPPED)["helm"], load_yaml(world.release)["helm"]
    assert {key for key in old if old[key] != new[key]} == {"location", "sha256"}


def test_packages_that_another_key_signed_are_refused(refused: Refused) -> None:
    done, asked = refused
    assert done.returncode == 1, done.stderr
    assert "Missing key" in done.stderr and f"http://{PACKAGES}/kubernetes" in done.stderr
    assert "--repository-key kubernetes=FILE" in done.stderr and "--repository-key docker" not in done.stderr
    assert f"http://{PACKAGES}/kubernetes/InRelease" in asked
    assert not [target for target in asked if target.endswith(".deb")]


def test_packages_are_the_archive_s_and_the_repositories(node: Iecpod, world: OutsideWorld) -> None:
    printed = node.on_node("iec01", "apt-cache", "policy", "conntrack", "containerd.io", "kubeadm")
    installed = [version.splitlines()[:2] for version in printed.split("***")[1:]]
    versions, sources = zip(*((version.split()[0], source.strip()) for version, source in installed), strict=True)
    assert sources[0].startswith(f"500 http://{ARCHIVE}/debian")
    assert sources[1] == f"500 http://{PACKAGES}/docker noble/stable amd64 Packages"
    assert sources[2] == f"500 http://{PACKAGES}/kubernetes  Packages"
    assert versions[1].startswith("2.") and versions[2].startswith(f"{load_yaml(SHIPPED)['kubernetes_version']}-")
    assert set(node.on_node("iec01", "apt-mark", "showhold").split()) == {"kubeadm", "kubectl", "kubelet"}
    fetched = {target.rpartition("/")[2].partition("_")[0] for target in world.targets() if target.endswith(".deb")}
    kubernetes = {"kubeadm", "kubelet", "kubectl", "kubernetes-cni", "cri-tools"}
    assert {"containerd.io", "iptables", "conntrack"} | kubernetes <= fetched


def test_only_its_own_key_verifies_a_repository(node: Iecpod) -> None:
    signed = {"kubernetes": "kubernetes_InRelease", "docker": "docker_dists_noble_InRelease"}
    for name, other in (("kubernetes", "docker"), ("docker", "kubernetes")):
        sources = node.on_node("iec01", "cat", f"/etc/apt/sources.list.d/{name}.sources")
        assert f"Signed-By: /etc/apt/keyrings/{name}.gpg" in sources
        verify = f'sqv --output "$(mktemp -u)" --cleartext /var/lib/apt/lists/{PACKAGES}_{signed[name]} --keyring'
        node.on_node("iec01", "sh", "-c", f"{verify} /etc/apt/keyrings/{name}.gpg")
        refused = node.run("ssh", "iec01", "--", "sh", "-c", f"{verify} /etc/apt/keyrings/{other}.gpg")
        assert refused.returncode == 1 and "Missing key" in refused.stderr
    trusted = node.on_node("iec01", "sh", "-c", "ls /etc/apt/trusted.gpg.d /etc/apt/trusted.gpg || true").split()
    assert [name for name in trusted if not name.startswith(("debian-archive-", "/etc/apt/trusted.gpg"))] == []
    settings = node.on_node("iec01", "apt-config", "dump").splitlines()
    assert [line for line in settings if "::Allow" in line and not line.endswith('"0";')] == []


def test_containerd_keeps_its_configuration_and_goes_to_mirror_and_proxy(node: Iecpod, world: OutsideWorld) -> None:
    """The one of docker's package would leave no container runtime to the kubelet. Pulls are by digest."""
    release = load_yaml(world.release)
    pulled = [node.on_node("iec01", "sudo", "crictl", "pull", release[key]) for key in IMAGES]
    assert all(world.digests[key] in line or "sha256:" in line for key, line in zip(IMAGES, pulled, strict=True))
    assert {("CONNECT", f"{MIRROR}:443"), ("CONNECT", f"{REGISTRY}:443")} <= set(world.requests())
    refused = node.run("ssh", "iec01", "--", "sudo", "crictl", "pull", load_yaml(SHIPPED)["pause_image"])
    assert refused.returncode == 1 and "not found" in refused.stderr


def test_a_second_deploy_changes_nothing(node: Iecpod) -> None:
    node.check("deploy", "--until", "runtime")
    assert {phase["outcome"] for phase in node.report()["phases"]} == {"in place"}
