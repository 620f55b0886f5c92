"""A node of an air-gapped lab: all that it takes comes from a bundle that was built elsewhere.

A POD of its own, of one machine, up to the runtime: where software comes from is fixed when machines are made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from iecpod.naming import BUNDLE_DISK
from tests.e2e.command import Iecpod


def test_the_node_has_what_the_bundle_holds(node: Iecpod) -> None:
    assert {phase["name"]: phase["outcome"] for phase in node.report()["phases"]}["runtime"] == "done"
    assert node.on_node("iec01", "kubeadm", "version", "--output=short").strip() == "v1.37.2"
    images = node.on_node("iec01", "sudo", "ctr", "--namespace=k8s.io", "images", "ls", "--quiet").split()
    assert {"registry.iecpod.internal/kube-apiserver:v1.37.2", "registry.iecpod.internal/nginx:debian"} <= set(images)


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
