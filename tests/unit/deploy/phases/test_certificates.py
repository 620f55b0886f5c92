"""Certificates of a cluster that stood still: looked at on this host, renewed on the first node."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.api import Api
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.phases.certificates import ISSUE, RENEW, STOP, CertificatesPhase
from iecpod.deploy.phases.kubeconfig import KubeconfigPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeError, WaitTimeout
from iecpod.ports import ApiAnswer, CommandResult
from iecpod.render.kubeconfig import ADMIN_CONF
from tests.fakes import FakeShell, fake_phase_tools
from tests.fakes.api_server import SILENT, FakeApiServer
from tests.unit.deploy.admin_conf import admin, admin_conf

NODES = ("iec01", "iec02")
PEM = "-----BEGIN CERTIFICATE-----\n...\n-----BEGIN EC PRIVATE KEY-----\n"


def _phase(
    tmp_path: Path, cluster: DesiredCluster, days_before_the_end: int, server: FakeApiServer | None = None
) -> CertificatesPhase:
    path = tmp_path / "kubeconfig"
    path.write_bytes(admin_conf())
    shells = {node: FakeShell(node) for node in NODES}
    shells["iec01"].files[ADMIN_CONF] = admin_conf()
    shells["iec01"].on("sh", "-c", RENEW).on("sh", "-c", ISSUE, stdout=PEM)
    for shell in shells.values():
        shell.on("sh", "-c")
    waits = fake_phase_tools().waits
    kubeconfig = KubeconfigPhase(cluster, AdminConf(cluster, shells["iec01"]), path, waits)
    api = Api(server or FakeApiServer({"/readyz": "ok"}), "iec01", applies=True)
    kubectl = Kubectl(shells["iec01"], api=api)
    end = admin()[1].not_valid_after_utc.date()
    day = end - datetime.timedelta(days=days_before_the_end)
    return CertificatesPhase(cluster, shells, kubectl, kubeconfig, waits, lambda: day)


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
    assert shells["iec01"].calls[:2] == [("sh", "-c", STOP), ("sh", "-c", RENEW, "renew", "new")]
    assert shells["iec02"].calls[0] == ("sh", "-c", STOP)
    assert [call[-1] for call in shells["iec01"].calls if ISSUE in call] == list(NODES)
    for shell in shells.values():
        assert "systemctl start kubelet" in shell.calls[-1][2] and shell.inputs[-1] == PEM.encode()


def test_other_kubelets_start_when_the_api_server_is_ready(tmp_path: Path, cluster: DesiredCluster) -> None:
    server = FakeApiServer({"/readyz": "ok"})
    phase = _phase(tmp_path, cluster, -400, server)
    shells = _shells(phase)
    not_ready = ApiAnswer(500, b"[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed")
    server.next_answers = [SILENT, not_ready]
    started: list[tuple[bool, int]] = []
    shells["iec02"].on("sh", "-c", STOP)
    shells["iec02"].replace(("sh", "-c"), lambda _argv, _stdin: _noted(started, shells["iec01"], server))
    phase.run()
    assert started == [(True, 3)] and set(server.requests) == {"GET /readyz"}


def test_an_api_server_that_stays_away_is_named(tmp_path: Path, cluster: DesiredCluster) -> None:
    phase = _phase(tmp_path, cluster, -400, FakeApiServer())
    with pytest.raises(WaitTimeout, match="an API server with renewed certificates"):
        phase.run()
    assert not _has_started(_shells(phase)["iec02"])


def test_a_kubelet_keeps_its_certificate_where_none_is_issued(tmp_path: Path, cluster: DesiredCluster) -> None:
    phase = _phase(tmp_path, cluster, 0)
    _shells(phase)["iec01"].replace(("sh", "-c", ISSUE), FakeShell().on("x").run(["x"]))
    with pytest.raises(NodeError, match="issued no certificate for the kubelet of iec01"):
        phase.run()
    assert not any(_has_started(shell) for shell in _shells(phase).values())


def _issue(pki: Path) -> subprocess.CompletedProcess[str]:
    """By the sh of this host, which is dash on Debian and Ubuntu, as on nodes."""
    return subprocess.run(["sh", "-c", ISSUE, "issue", str(pki), "iec02"], capture_output=True, text=True, check=False)


def test_the_script_issues_what_an_api_server_takes_for_the_kubelet(tmp_path: Path) -> None:
    make_ca = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kubernetes", "-days", "10"]
    subprocess.run(
        [*make_ca, "-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.crt"], check=True, capture_output=True
    )
    done = _issue(tmp_path)
    assert done.returncode == 0, done.stderr
    certificate = x509.load_pem_x509_certificate(done.stdout.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
    assert certificate.subject.rfc4514_string() == "CN=system:node:iec02,O=system:nodes"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    key = load_pem_private_key(done.stdout[done.stdout.index("-----BEGIN EC") :].encode(), None)
    assert isinstance(key, EllipticCurvePrivateKey) and key.public_key() == certificate.public_key()


def test_the_script_fails_where_there_is_no_ca(tmp_path: Path) -> None:
    done = _issue(tmp_path)
    assert done.returncode != 0 and done.stdout == "" and "ca.crt" in done.stderr


def _has_started(shell: FakeShell) -> bool:
    return any("systemctl start kubelet" in " ".join(call) for call in shell.calls)


def _noted(started: list[tuple[bool, int]], first: FakeShell, server: FakeApiServer) -> CommandResult:
    started.append((_has_started(first), len(server.requests)))
    return CommandResult(0, "", "")


def _shells(phase: CertificatesPhase) -> dict[str, FakeShell]:
    return {node: shell for node, shell in phase.shells.items() if isinstance(shell, FakeShell)}
