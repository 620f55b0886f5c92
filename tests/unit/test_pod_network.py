"""The two pod networks: files of the bridge CNI, patches of the Calico manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import DescriptorError
from iecpod.render.bridge_cni import render_conflist, render_routes_unit
from iecpod.render.calico import patch_calico_manifest
from iecpod.yaml_document import load_yaml_all

CALICO = Path(__file__).parents[3] / "shared" / "calico"

MANIFEST = b"""
kind: ConfigMap
apiVersion: v1
metadata: {name: calico-config}
---
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: calico-node}
spec:
  template:
    spec:
      containers:
        - name: calico-node
          env:
            - {name: IP, value: autodetect}
            - {name: CALICO_IPV4POOL_CIDR, value: 192.168.0.0/16}
"""


def test_each_node_has_its_own_part_of_the_pod_cidr(cluster: DesiredCluster) -> None:
    subnets = []
    for node in cluster.nodes:
        (bridge, portmap) = json.loads(render_conflist(cluster, node))["plugins"]
        subnets.append(bridge["ipam"]["ranges"][0][0]["subnet"])
        assert portmap == {"type": "portmap", "capabilities": {"portMappings": True}}
    assert subnets == ["100.100.0.0/24", "100.100.1.0/24", "100.100.2.0/24"]


def test_routes_lead_to_the_other_nodes_over_mgmt(cluster: DesiredCluster) -> None:
    unit = render_routes_unit(cluster, cluster.nodes[1])
    assert "ip route replace 100.100.0.0/24 via 172.16.10.36 dev enp2s0" in unit
    assert "ip route replace 100.100.2.0/24 via 172.16.10.38 dev enp2s0" in unit
    assert "route replace 100.100.1.0/24" not in unit
    assert unit.count("-s 100.100.1.0/24 ! -d 100.100.0.0/16 -j MASQUERADE") == 2


def test_calico_is_patched_as_yaml(cluster: DesiredCluster) -> None:
    patched = patch_calico_manifest(MANIFEST, cluster, "calico.yaml")
    assert patched.changes == (
        "DaemonSet calico-node: CALICO_IPV4POOL_CIDR: 192.168.0.0/16 -> 100.100.0.0/16",
        "DaemonSet calico-node: IP_AUTODETECTION_METHOD: (unset) -> cidr=172.16.10.0/24",
    )
    assert patch_calico_manifest(patched.text.encode(), cluster, "again").changes == ()


def test_a_manifest_without_calico_node_is_refused(cluster: DesiredCluster) -> None:
    with pytest.raises(DescriptorError) as caught:
        patch_calico_manifest(b"kind: ConfigMap\nmetadata: {name: x}\n", cluster, "other.yaml")
    (problem,) = caught.value.problems
    assert problem.file == "other.yaml"
    assert problem.message == "the manifest has no container `calico-node` in a DaemonSet `calico-node`"


@pytest.mark.parametrize("version", ["v3.24.6", "v3.32.1"])
def test_upstream_manifests_change_in_two_places_only(cluster: DesiredCluster, version: str) -> None:
    path = CALICO / version / "calico.yaml"
    if not path.exists():
        pytest.skip("the upstream manifests are not on this machine")
    original = [document.data for document in load_yaml_all(path.read_bytes(), str(path))]
    patched = patch_calico_manifest(path.read_bytes(), cluster, str(path))
    after = [document.data for document in load_yaml_all(patched.text, "patched")]
    assert len(patched.changes) == 2
    different = [new for old, new in zip(original, after, strict=True) if old != new]
    assert [document["metadata"]["name"] for document in different if isinstance(document, dict)] == ["calico-node"]
