"""Certificates of a cluster that stood still: looked at on this host, renewed on the first node."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path

import pytest

from iecpod.deploy.kubectl.admin_conf import ADMIN_CONF, AdminConf
from iecpod.deploy.phases.certificates import ISSUE, RENEW, CertificatesPhase
from iecpod.deploy.phases.kubeconfig import KubeconfigPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeError
from tests.fakes import FakeShell, fake_phase_tools
from tests.unit.deploy.admin_conf import admin, admin_conf

NODES = ("iec01", "iec02")
PEM = "-----BEGIN CERTIFICATE-----\n...\n-----BEGIN EC PRIVATE KEY-----\n"


def _phase(tmp_path: Path, cluster: DesiredCluster, days_before_the_end: int) -> CertificatesPhase:
    path = tmp_path / "kubeconfig"
    path.write_bytes(admin_conf())
    shells = {node: FakeShell(node) for node in NODES}
    shells["iec01"].files[ADMIN_CONF] = admin_conf()
    shells["iec01"].on("sh", "-c", RENEW).on("sh", "-c", ISSUE, stdout=PEM)
    for shell in shells.values():
        shell.on("sh", "-c")
    kubeconfig = KubeconfigPhase(cluster, AdminConf(cluster, shells["iec01"]), path, fake_phase_tools().waits)
    end = admin()[1].not_valid_after_utc.date()
    return CertificatesPhase(cluster, shells, kubeconfig, lambda: end - datetime.timedelta(days=days_before_the_end))


def test_no_node_is_asked_while_certificates_are_valid_for_long(tmp_path: Path, cluster: DesiredCluster) -> None:
    phase = _phase(tmp_path, cluster, 31)
    assert phase.probe() == "valid for 31 days"
    assert all(not shell.calls for shell in _shells(phase).values())


@pytest.mark.parametrize("days", [29, 0, -400])
def test_what_ends_soon_is_renewed_for_every_node(tmp_path: Path, cluster: DesiredCluster, days: int) -> None:
    phase = _phase(tmp_path, cluster, days)
    assert phase.probe() is None
    phase.run()
    assert KubeconfigPhase.probe(phase.kubeconfig) == str(phase.kubeconfig.path), "it is that of the first node"
    shells = _shells(phase)
    assert shells["iec01"].calls[0] == ("sh", "-c", RENEW, "renew", "new")
    assert [call[-1] for call in shells["iec01"].calls if ISSUE in call] == list(NODES)
    for shell in shells.values():
        assert "systemctl restart kubelet" in shell.calls[-1][2] and shell.inputs[-1] == PEM.encode()


def test_a_kubelet_keeps_its_certificate_where_none_is_issued(tmp_path: Path, cluster: DesiredCluster) -> None:
    phase = _phase(tmp_path, cluster, 0)
    _shells(phase)["iec01"].replace(("sh", "-c", ISSUE), FakeShell().on("x").run(["x"]))
    with pytest.raises(NodeError, match="issued no certificate for the kubelet of iec01"):
        phase.run()
    assert not any("restart kubelet" in " ".join(call) for shell in _shells(phase).values() for call in shell.calls)


def _issue(directory: Path, kubeadm: str) -> subprocess.CompletedProcess[str]:
    """By the sh of this host, which is dash on Debian and Ubuntu, as on nodes."""
    program = directory / "kubeadm"
    program.write_text(f"#!/bin/sh\n{kubeadm}\n")
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", ISSUE, "issue", "new", "iec02"], env=environ, capture_output=True, text=True)


def test_the_script_prints_what_kubeadm_issues(tmp_path: Path) -> None:
    (tmp_path / "admin.conf").write_bytes(admin_conf())
    done = _issue(tmp_path, f'echo "$*" > {tmp_path}/asked; cat {tmp_path}/admin.conf')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text() == "kubeconfig user --org system:nodes --client-name system:node:iec02\n"
    assert done.stdout.startswith("-----BEGIN CERTIFICATE-----\n") and "PRIVATE KEY-----\n" in done.stdout


def test_the_script_fails_with_what_kubeadm_says(tmp_path: Path) -> None:
    done = _issue(tmp_path, "echo 'no CA here' >&2; exit 1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no CA here\n")


def _shells(phase: CertificatesPhase) -> dict[str, FakeShell]:
    return {node: shell for node, shell in phase.shells.items() if isinstance(shell, FakeShell)}
