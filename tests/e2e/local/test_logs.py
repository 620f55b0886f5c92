"""The archive of logs of a POD that is up."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from tests.e2e.command import HOSTNAMES, LAB, POD, Iecpod

ON_EVERY_NODE = (
    *("journal/all.log", "journal/kubelet.log", "journal/runtime.log", "journal/kubeadm.log"),
    *("cloud-init/result.json", "cloud-init/cloud-init.log", "cloud-init/cloud-init-output.log"),
    *("network/addresses.txt", "network/routes.txt", "system/units.txt", "system/space.txt"),
)


@pytest.fixture(scope="module")
def files(logs_archive: Path) -> dict[str, str]:
    """Text by path below the archive's one directory."""
    found = {}
    with tarfile.open(logs_archive) as tar:
        entries = tar.getmembers()
        (top,) = {entry.name.split("/")[0] for entry in entries}
        assert top.startswith(f"{LAB}-{POD}-")
        for entry in entries:
            assert entry.mode & 0o077 == 0
            if file := tar.extractfile(entry):
                found[entry.name.removeprefix(f"{top}/")] = file.read().decode(errors="replace")
    return found


def test_it_is_for_its_owner_only(logs_archive: Path) -> None:
    assert stat.S_IMODE(logs_archive.stat().st_mode) == 0o600
    assert [path.name for path in logs_archive.parent.iterdir()] == [logs_archive.name]


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_every_node_is_complete(files: dict[str, str], hostname: str) -> None:
    here = f"nodes/{hostname}"
    assert [name for name in ON_EVERY_NODE if not files.get(f"{here}/{name}")] == []
    assert hostname in files[f"{here}/journal/all.log"] and "kubelet" in files[f"{here}/journal/kubelet.log"]
    assert "Cloud-init" in files[f"{here}/cloud-init/cloud-init.log"]
    assert "172.16.10." in files[f"{here}/network/addresses.txt"]
    assert [name for name in files if name.startswith(f"{here}/containers/kube-system_kube-proxy")]
    assert len(files[f"consoles/{hostname}.log"]) > 1000
    assert "<domain" in files[f"libvirt/xml/domain-{LAB}-{POD}-{hostname}.xml"]
    assert files[f"libvirt/log/qemu/{LAB}-{POD}-{hostname}.log"]


def test_cluster_plan_and_times_are_there(files: dict[str, str]) -> None:
    assert all(hostname in files["nodes/iec01/cluster/nodes.txt"] for hostname in HOSTNAMES)
    assert "kube-apiserver-iec01" in files["nodes/iec01/cluster/all.txt"]
    assert "nodes/iec01/cluster/events.txt" in files["MANIFEST"]
    assert "kubeadm" in files["nodes/iec01/journal/kubeadm.log"]
    assert "172.16.10.36/24" in files["iecpod/plan.txt"] and '"phases"' in files["iecpod/report.json"]
    assert "phase control-plane" in files["iecpod/iecpod.log"]
    assert {
        "descriptors/virtual1.yaml",
        f"descriptors/idf-{POD}.yaml",
        "libvirt/xml/pool-iecpod-local-virtual1.xml",
    } <= set(files)
    assert {f"libvirt/xml/network-{LAB}-{POD}-{name}.xml" for name in ("admin", "mgmt", "private", "public")} <= set(
        files
    )


def test_the_manifest_lists_what_is_missing(files: dict[str, str]) -> None:
    missing = files["MANIFEST"].partition("Not collected\n")[2].splitlines()
    # Events of a quiet cluster end after an hour; all else is there.
    assert [line for line in missing if line != "nothing" and "cluster/events.txt" not in line] == []


def test_nodes_are_left_as_they_were(pod: Iecpod, logs_archive: Path) -> None:
    for hostname in HOSTNAMES:
        assert (
            pod.on_node(hostname, "sudo", "find", "/var/tmp", "/run", "-maxdepth", "1", "-name", "iecpod-logs*") == ""
        )
