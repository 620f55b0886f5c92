"""A real etcd with what is rendered for Calico's: it answers by TLS, on mgmt, and to holders of the certificate."""

from __future__ import annotations

import base64
import os
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from iecpod.adapters.etcd_certificates import make_etcd_tls
from iecpod.cni.calico import Autodetection, CalicoSettings, patch_calico_manifest
from iecpod.cni.calico_etcd import etcd_cluster_ip
from iecpod.design.cluster import DesiredCluster
from iecpod.yaml.document import load_yaml_all
from tests.compiled import find_go_program
from tests.contract.hypervisors import why_not_embedded
from tests.unit.cni.calico_of_the_iec import MANIFESTS

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or find_go_program("etcd") is None or bool(why_not_embedded()),
    reason="no etcd or no namespaces here",
)

_MGMT = "172.16.10.36"
#: `health` of each way to ask; a way that fails says how curl ended.
_ASK = f"""
ip link set lo up; ip address add {_MGMT}/32 dev lo; ip address add "$2"/32 dev lo
shift 2
"$@" 2>etcd.log &
ask() {{ curl --silent --max-time 5 --output answer "$@" && cat answer && echo || echo "failed"; }}
certificate="--cert client/etcd-cert --key client/etcd-key"
for try in $(seq 50); do
    curl --silent --max-time 5 --cacert client/etcd-ca $certificate https://{_MGMT}:6666/health >/dev/null && break
    sleep 0.2
done
ask --cacert client/etcd-ca $certificate https://{_MGMT}:6666/health
ask --cacert client/etcd-ca https://{_MGMT}:6666/health
ask --cacert client/etcd-ca --cert strange/etcd-cert --key strange/etcd-key https://{_MGMT}:6666/health
ask --cacert strange/etcd-ca $certificate https://{_MGMT}:6666/health
ask http://{_MGMT}:6666/health
ask --cacert client/etcd-ca $certificate https://127.0.0.1:6666/health
"""


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    documents = [document.data for document in load_yaml_all(text, "x")]
    return {(found["kind"], found["metadata"]["name"]): found for found in documents if isinstance(found, dict)}


def write(directory: Path, secret: dict[str, Any]) -> None:
    directory.mkdir()
    for name, value in secret["data"].items():
        (directory / name).write_bytes(base64.b64decode(value))


def test_calicos_etcd_answers_on_mgmt_and_to_calico_alone(cluster: DesiredCluster, tmp_path: Path) -> None:
    addresses = (etcd_cluster_ip(cluster.service_cidr), IPv4Address(_MGMT))
    calico = CalicoSettings(autodetection=Autodetection.INTERFACE, own_etcd=True)
    strange, ours = (
        objects(patch_calico_manifest(MANIFESTS, cluster, calico, lambda: make_etcd_tls(addresses)).text)
        for _ in range(2)
    )
    write(tmp_path / "strange", strange["Secret", "calico-etcd-secrets"])
    write(tmp_path / "client", ours["Secret", "calico-etcd-secrets"])
    write(tmp_path / "server", ours["Secret", "calico-etcd-server"])
    (container,) = ours["DaemonSet", "calico-etcd"]["spec"]["template"]["spec"]["containers"]
    arguments = [
        argument.replace("$(CALICO_ETCD_IP)", _MGMT).replace("/calico-etcd/", "server/").replace("/var/etcd", "data")
        for argument in container["args"]
    ]
    etcd = find_go_program("etcd")
    assert etcd is not None
    (tmp_path / "etcd").symlink_to(etcd)
    alone = ["unshare", "--net", "--pid", "--fork", "--kill-child"]
    done = subprocess.run(
        [*alone, "sh", "-c", _ASK, "ask", "x", str(addresses[0]), "./etcd", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answers = done.stdout.splitlines()
    assert answers[0].startswith('{"health":"true"'), (tmp_path / "etcd.log").read_text()
    assert answers[1:] == ["failed"] * 5
