"""The bridge CNI: files on the nodes."""

from __future__ import annotations

import json

from iecpod.cni.bridge import render_conflist, render_routes_unit
from iecpod.design.cluster import DesiredCluster


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
