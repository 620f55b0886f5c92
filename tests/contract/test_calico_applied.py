"""Calico's upstream manifest, patched, given to a real API server of Kubernetes 1.20 on the loopback.

Programs come from the cache of a machine that has deployed debian12; elsewhere the test is skipped.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.design.release import CalicoSource, Encapsulation
from iecpod.design.release_file import load_release
from iecpod.design.scenario import Cni, Role
from iecpod.model import Arch
from iecpod.phases.kubectl import UNCHECKED
from iecpod.render.calico import patch_calico_manifest
from iecpod.render.manifest import ManifestText
from tests.compiled import find_compiled, find_layer

ROOT = Path(__file__).parents[2]
UPSTREAM = ROOT.parent / "shared/calico/v3.24.6/calico.yaml"
#: Nothing else is in the network namespace, so the usual ports are free; all processes end with the first.
_ALONE = ("unshare", "--net", "--pid", "--fork", "--kill-child")
LOOPBACK = [*_ALONE, "sh", "-c", 'ip link set lo up && exec "$@"', "loopback"]


@dataclass(frozen=True)
class Api:
    """An API server of its own, and kubectl in its namespace."""

    kubectl_argv: list[str]

    def kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = [*self.kubectl_argv, *arguments]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=300, check=False)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)


def unpack_etcd(layer: Path, program: Path) -> None:
    with tarfile.open(layer) as tar, program.open("wb") as file:
        content = tar.extractfile("./usr/bin/etcd")
        assert content is not None
        shutil.copyfileobj(content, file)
    program.chmod(0o755)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server_program, kubectl, layer = find_compiled("kube-apiserver"), find_compiled("kubectl"), find_layer()
    if server_program is None or kubectl is None or layer is None or not UPSTREAM.exists() or os.geteuid() != 0:
        pytest.skip("Kubernetes or Calico's manifests are not on this machine, or no namespace can be made")
    directory = tmp_path_factory.mktemp("api")
    etcd = directory / "etcd-server"
    unpack_etcd(layer, etcd)
    key = directory / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (directory / "tokens").write_text("token,admin,admin,system:masters\n")
    (directory / "tokens").chmod(0o600)
    run = (
        f'"$1" --data-dir={directory}/etcd --unsafe-no-fsync --log-level=error & '
        f'exec "$2" --etcd-servers=http://127.0.0.1:2379 --cert-dir={directory}/certs --bind-address=127.0.0.1 '
        "--advertise-address=172.16.10.36 --allow-privileged=true "
        f"--token-auth-file={directory}/tokens --service-cluster-ip-range=172.16.1.0/24 "
        f"--service-account-issuer=https://lab --service-account-key-file={key} "
        f"--service-account-signing-key-file={key} --disable-admission-plugins=ServiceAccount"
    )
    log = (directory / "log").open("w")
    server = subprocess.Popen(
        [*LOOPBACK, "sh", "-c", run, "api", str(etcd), str(server_program)], stdout=log, stderr=log
    )
    try:
        yield wait_for_api(server, kubectl, directory)
    finally:
        server.kill()
        server.wait()
        log.close()


def wait_for_api(server: subprocess.Popen[bytes], kubectl: Path, directory: Path) -> Api:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        inside = ["nsenter", f"--net=/proc/{server.pid}/ns/net", str(kubectl)]
        options = ["--server=https://127.0.0.1:6443", "--insecure-skip-tls-verify", "--token=token"]
        api = Api([*inside, *options, f"--cache-dir={directory}/kubectl"])
        answer = api.kubectl("get", "--raw=/readyz")
        if answer.stdout == "ok":
            return api
        time.sleep(2)
    raise AssertionError(f"{answer}\n{(directory / 'log').read_text()[-2000:]}")


@pytest.fixture
def cluster() -> DesiredCluster:
    node = ClusterNode(
        hostname="iec01",
        role=Role.CONTROL_PLANE,
        address=IPv4Address("172.16.10.36"),
        mgmt_device="enp2s0",
        pod_cidr=IPv4Network("100.100.0.0/24"),
    )
    return DesiredCluster(
        name="local-virtual1",
        arch=Arch.X86_64,
        release=load_release("debian12", ROOT / "iecpod/releases", ROOT / "schemas"),
        cni=Cni.CALICO,
        nodes=(node,),
        mgmt_cidr=IPv4Network("172.16.10.0/24"),
        mgmt_mtu=1500,
        pod_cidr=IPv4Network("100.100.0.0/16"),
        service_cidr=IPv4Network("172.16.1.0/24"),
        calm=False,
    )


def test_the_patched_manifest_is_taken_whole(api: Api, cluster: DesiredCluster) -> None:
    upstream = ManifestText("calico.yaml", UPSTREAM.read_bytes())
    calico = CalicoSource(manifests=(), encapsulation=Encapsulation.VXLAN)
    patched = patch_calico_manifest([upstream], cluster, calico)
    apply = ["apply", UNCHECKED, "--openapi-patch=false", "-f", "-"]
    done = api.kubectl(*apply, stdin=patched.text)
    assert done.returncode == 0, done.stderr
    containers = api.get("-n", "kube-system", "daemonset", "calico-node")["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in containers[0]["env"]}
    assert environment["CALICO_IPV4POOL_CIDR"] == "100.100.0.0/16"
    assert environment["IP_AUTODETECTION_METHOD"] == "cidr=172.16.10.0/24"
    assert containers[0]["readinessProbe"]["exec"]["command"] == ["/bin/calico-node", "-felix-ready"]
    config = api.get("-n", "kube-system", "configmap", "calico-config")["data"]
    assert (config["veth_mtu"], config["calico_backend"]) == ("1450", "vxlan")
    assert api.get("-n", "kube-system", "poddisruptionbudget", "calico-kube-controllers")["spec"]["maxUnavailable"] == 1
    again = api.kubectl(*apply, stdin=patched.text)
    assert {line.rsplit(" ", 1)[1] for line in again.stdout.splitlines()} <= {"unchanged", "configured"}


def test_a_newer_cluster_s_manifest_is_refused_for_its_budget_alone(api: Api, cluster: DesiredCluster) -> None:
    """Why the budget is changed at all."""
    newer = dataclasses.replace(cluster.release, kubernetes_version="1.21.0")
    upstream = ManifestText("calico.yaml", UPSTREAM.read_bytes())
    patched = patch_calico_manifest([upstream], dataclasses.replace(cluster, release=newer), CalicoSource(manifests=()))
    done = api.kubectl("apply", UNCHECKED, "--openapi-patch=false", "-f", "-", stdin=patched.text)
    assert done.returncode != 0
    assert (
        done.stderr.count("no matches for kind") == 1 and '"PodDisruptionBudget" in version "policy/v1"' in done.stderr
    )
