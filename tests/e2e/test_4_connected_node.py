"""A node of a connected lab: packages by apt from signed repositories, all of it by a proxy. No bundle.

A POD of its own, of one machine with containerd, up to the runtime.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import HostSnapshot, Iecpod, check_teardown, connected_machines
from tests.e2e.outside.servers import Servers
from tests.e2e.outside.world import ARCHIVE, MIRROR, PACKAGES, REGISTRY, OutsideWorld
from tests.e2e.small_lab import SINGLE

Machine = tuple[Iecpod, Servers]


@pytest.fixture(scope="module")
def machine(host_before: HostSnapshot, world: OutsideWorld) -> Iterator[Machine]:
    """It boots, and has been given a key that has not signed the repository."""
    with connected_machines(world, SINGLE, "containerd", world.wrong_key) as machine:
        yield machine


Refused = tuple[subprocess.CompletedProcess[str], list[str]]


@pytest.fixture(scope="module")
def refused(machine: Machine, world: OutsideWorld) -> Refused:
    """A deploy that goes on with that key, and what the proxy had been asked for by then."""
    command, _ = machine
    done = command.run("deploy", "--until", "runtime")
    return done, world.targets()


@pytest.fixture(scope="module")
def node(machine: Machine, world: OutsideWorld, refused: Refused) -> Iecpod:
    """The node, with its software: its first deploy was refused, and the next went on with the right key."""
    command, _ = machine
    command.check("deploy", "--repository-key", f"lab={world.key}", "--until", "runtime")
    return command


def test_packages_that_another_key_signed_are_refused(refused: Refused) -> None:
    done, asked = refused
    assert done.returncode == 1, done.stderr
    assert "NO_PUBKEY" in done.stderr and f"http://{PACKAGES}/kubernetes stable InRelease" in done.stderr
    assert "--repository-key lab=FILE" in done.stderr
    assert f"http://{PACKAGES}/kubernetes/dists/stable/InRelease" in asked
    assert not [target for target in asked if target.endswith(".deb")]


def test_packages_are_the_archive_s_and_the_repository_s(node: Iecpod, world: OutsideWorld) -> None:
    told = node.on_node("iec01", "apt-cache", "policy", "containerd", "kubeadm")
    containerd, kubeadm = (version.splitlines()[1].strip() for version in told.split("***")[1:])
    assert containerd.startswith(f"500 http://{ARCHIVE}/debian")
    assert kubeadm == f"500 http://{PACKAGES}/kubernetes stable/main amd64 Packages"
    assert set(node.on_node("iec01", "apt-mark", "showhold").split()) == {"kubeadm", "kubectl", "kubelet"}
    fetched = {target.rpartition("/")[2].partition("_")[0] for target in world.targets() if target.endswith(".deb")}
    assert {"containerd", "runc", "kubeadm", "kubelet", "kubectl", "cri-tools"} <= fetched


def test_only_its_own_key_vouches_for_the_repository(node: Iecpod) -> None:
    sources = node.on_node("iec01", "cat", "/etc/apt/sources.list.d/lab.sources")
    assert "Signed-By: /etc/apt/keyrings/lab.gpg" in sources
    verify = "gpgv --keyring /etc/apt/keyrings/lab.gpg /var/lib/apt/lists/packages.lab.example_*_InRelease 2>&1"
    assert 'Good signature from "signing@lab.example"' in node.on_node("iec01", "sh", "-c", verify)
    trusted = node.on_node("iec01", "sh", "-c", "ls /etc/apt/trusted.gpg.d /etc/apt/trusted.gpg || true").split()
    assert [name for name in trusted if not name.startswith(("debian-archive-", "/etc/apt/trusted.gpg"))] == []
    settings = node.on_node("iec01", "apt-config", "dump").splitlines()
    assert [line for line in settings if "::Allow" in line and not line.endswith('"0";')] == []


def test_containerd_goes_to_mirror_and_proxy(node: Iecpod, world: OutsideWorld) -> None:
    images = ("docker.io/library/nginx:stable", "k8s.gcr.io/pause:3.2")
    pulled = [node.on_node("iec01", "sudo", "crictl", "pull", image) for image in images]
    assert all("sha256:" in told for told in pulled)
    assert {("CONNECT", f"{MIRROR}:443"), ("CONNECT", f"{REGISTRY}:443")} <= set(world.requests())


def test_a_second_deploy_changes_nothing(node: Iecpod) -> None:
    node.check("deploy", "--until", "runtime")
    assert {phase["outcome"] for phase in node.report()["phases"]} == {"in place"}


def test_teardown_leaves_nothing(machine: Machine, host_before: HostSnapshot) -> None:
    command, servers = machine
    servers.stop()
    check_teardown(command, host_before)
