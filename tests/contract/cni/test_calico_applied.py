"""Calico's upstream manifest, patched, given to a real API server of Kubernetes 1.37 on the loopback."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from iecpod.cni.calico import CalicoSettings, patch_calico_manifest
from iecpod.deploy.kubectl.kubectl import UNCHECKED
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText
from iecpod.options.choices import Encapsulation
from tests.contract.api_server import Api
from tests.unit.cni.calico_of_the_iec import make_tls

UPSTREAM = Path(__file__).parents[4] / "shared/calico/v3.24.6/calico.yaml"

pytestmark = pytest.mark.skipif(not UPSTREAM.exists(), reason="Calico's manifests are not on this machine")


def test_the_patched_manifest_is_taken_whole(api: Api, cluster: DesiredCluster) -> None:
    upstream = ManifestText("calico.yaml", UPSTREAM.read_bytes())
    calico = CalicoSettings(encapsulation=Encapsulation.VXLAN)
    patched = patch_calico_manifest([upstream], cluster, calico, make_tls)
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


def test_an_older_cluster_s_manifest_is_refused_for_its_budget_alone(api: Api, cluster: DesiredCluster) -> None:
    """Why the budget is changed for older clusters only."""
    older = dataclasses.replace(cluster.release, kubernetes_version="1.20.2")
    upstream = ManifestText("calico.yaml", UPSTREAM.read_bytes())
    patched = patch_calico_manifest([upstream], dataclasses.replace(cluster, release=older), CalicoSettings(), make_tls)
    done = api.kubectl("apply", UNCHECKED, "--openapi-patch=false", "-f", "-", stdin=patched.text)
    assert done.returncode != 0
    assert (
        done.stderr.count("no matches for kind") == 1
        and '"PodDisruptionBudget" in version "policy/v1beta1"' in done.stderr
    )
