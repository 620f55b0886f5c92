"""The fallback of hosts that reach no Go module proxy: a small POD of the release debian12, whose cluster is checked.

It compiles Kubernetes 1.20.2, so it is no part of the usual run: `tox -e e2e-debian12`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iecpod.render.kubeadm import render_images_config
from tests.compiled import find_compiled
from tests.e2e.command import Iecpod
from tests.e2e.small_lab import ROOT, load_shipped

RELEASE = "debian12"
HOSTNAMES = ("iec01", "iec02")
GOLDEN = ROOT / "tests/unit/golden/releases/debian12/debian12-x86_64"


@pytest.fixture
def kubeadm(pod: Iecpod) -> Path:
    """Of the cluster's version, for this host."""
    compiled = find_compiled("kubeadm")
    assert compiled is not None, "the deploy has compiled it"
    return compiled


def test_the_cluster_is_checked_and_ready(pod: Iecpod) -> None:
    assert {phase["name"]: phase["outcome"] for phase in pod.report()["phases"]}["verify"] == "done"
    nodes = {node["metadata"]["name"]: node["status"] for node in pod.get("nodes")["items"]}
    assert set(nodes) == set(HOSTNAMES)
    for status in nodes.values():
        assert {entry["type"]: entry["status"] for entry in status["conditions"]}["Ready"] == "True"
        assert status["nodeInfo"]["kubeletVersion"] == f"v{load_shipped(RELEASE).kubernetes_version}"


def test_a_second_deploy_changes_nothing(pod: Iecpod) -> None:
    pod.check("deploy")
    assert {phase["outcome"] for phase in pod.report()["phases"]} == {"in place"}


def test_its_kubeadm_names_the_images_that_were_made(kubeadm: Path, tmp_path: Path) -> None:
    """Without a container runtime, and the same on every host."""
    (tmp_path / "config.yaml").write_text(render_images_config(load_shipped(RELEASE)))
    argv = [str(kubeadm), "config", "images", "list", "--config", str(tmp_path / "config.yaml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": "/nowhere"})
    assert done.stdout.split() == [
        *(
            f"registry.iecpod.internal/kube-{name}:v1.20.2"
            for name in ("apiserver", "controller-manager", "scheduler", "proxy")
        ),
        *(
            "registry.iecpod.internal/pause:3.2",
            "registry.iecpod.internal/etcd:3.4.13-0",
            "registry.iecpod.internal/coredns:1.7.0",
        ),
    ]


@pytest.mark.parametrize("file", ["init.yaml", "init-low-overhead.yaml", "join.yaml", "join-low-overhead.yaml"])
def test_its_kubeadm_reads_the_configuration(kubeadm: Path, file: str) -> None:
    """1.20 has no `config validate`; migrating reads strictly and writes what it has understood."""
    argv = [str(kubeadm), "config", "migrate", "--old-config", str(GOLDEN / file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "unknown field" not in done.stderr and "deprecated" not in done.stderr, done.stderr
    assert "172.16.10.36" in done.stdout
