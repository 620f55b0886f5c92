"""A node of an air-gapped lab: all that it takes comes from a bundle that was built elsewhere.

A POD of its own, of one machine, up to the runtime: where software comes from is fixed when machines are made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.naming import BUNDLE_DISK
from tests.e2e.conftest import HostSnapshot, Iecpod, check_teardown
from tests.e2e.small_lab import LAB, SINGLE, write_descriptors

BUNDLE = ("bundle", "build", "--release", "k8s-1.37-go", "--output")
#: Nobody is reached from there, not even this host.
ALONE = ("unshare", "--net", "--")


@pytest.fixture(scope="module")
def bundle(as_root: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One archive, as it is carried off. It takes more room than is left to lie about."""
    directory = tmp_path_factory.mktemp("elsewhere")
    path = directory / "k8s.tar"
    environ = {**os.environ, "IECPOD_STATE_DIR": str(directory / "state")}
    subprocess.run([sys.executable, "-m", "iecpod", *BUNDLE, str(path)], env=environ, check=True)
    yield path
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def node(host_before: HostSnapshot, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iecpod]:
    """The node, with its software, of a host without a network whose cache was empty."""
    root = tmp_path_factory.mktemp("here")
    write_descriptors(root / "lab")
    command = Iecpod(root, LAB, SINGLE, {"IECPOD_CACHE_DIR": str(root / "cache")}, ALONE)
    options = ("-b", f"file://{root}/lab", "-c", "embedded", "-s", "k8-bridge-iec-noha", "--bundle", str(bundle))
    try:
        command.check("deploy", *options, "--bundle-via", "disk", "--until", "runtime")
        yield command
    finally:
        command.run("teardown")
        shutil.rmtree(root)


def test_the_node_has_what_the_bundle_holds(node: Iecpod) -> None:
    assert {phase["name"]: phase["outcome"] for phase in node.report()["phases"]}["runtime"] == "done"
    assert node.on_node("iec01", "kubeadm", "version", "--output=short").strip() == "v1.37.2"
    images = node.on_node("iec01", "sudo", "ctr", "--namespace=k8s.io", "images", "ls", "--quiet").split()
    assert {"registry.iecpod.internal/kube-apiserver:v1.37.2", "registry.iecpod.internal/nginx:bookworm"} <= set(images)


def test_it_came_on_a_disk_that_nobody_writes_to(node: Iecpod) -> None:
    device = f"/dev/disk/by-id/virtio-{BUNDLE_DISK}"
    assert node.on_node("iec01", "lsblk", "--noheadings", "--output=RO,FSTYPE", device).split() == ["1", "ext4"]


def test_nothing_was_made_but_of_the_bundle(node: Iecpod) -> None:
    made = {path.name for path in (node.root / "cache").iterdir() if any(path.iterdir())}
    assert made.isdisjoint({"go", "layer", "programs", "rootfs", "software"}) and {"bundles", "bundle-disks"} <= made


def test_plan_names_the_bundle(node: Iecpod, bundle: Path) -> None:
    argv = [sys.executable, "-m", "iecpod", "bundle", "show", str(bundle), "-o", "json"]
    digest = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)["digest"]
    assert digest.removeprefix("sha256:")[:12] in node.check("plan")


def test_a_second_deploy_changes_nothing(node: Iecpod) -> None:
    node.check("deploy", "--until", "runtime")
    assert {phase["outcome"] for phase in node.report()["phases"]} == {"in place"}


def test_teardown_leaves_nothing(node: Iecpod, host_before: HostSnapshot) -> None:
    check_teardown(node, host_before)
