"""The `bridge` CNI: containernetworking plugins on each node, and host routes between the nodes.

Sources: the plugins' own pages on bridge, host-local and portmap. It needs no image, so it works offline.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from iecpod.design.cluster import ClusterNode, Cni, DesiredCluster, NodeCidrs, NodeTraces
from iecpod.outside_json import Json

CONFLIST_PATH = "/etc/cni/net.d/10-iecpod.conflist"
ROUTES_UNIT = "iecpod-pod-routes.service"


class Bridge(Cni):
    name = "bridge"
    summary = "bridge CNI and routes between the nodes' pods"
    node_cidrs = NodeCidrs.PLANNED
    routes_directly = True
    has_manifest = False
    node_unit = ROUTES_UNIT
    traces = NodeTraces(devices=("cni0",))

    def node_files(self, cluster: DesiredCluster, node: ClusterNode) -> dict[str, str]:
        return {
            self.node_unit_path: render_routes_unit(cluster, node),
            CONFLIST_PATH: render_conflist(cluster, node),
        }

    def find_applied(self, cluster: DesiredCluster, find: Callable[[str], Json | None]) -> str | None:
        return f"bridge on {len(cluster.nodes)} nodes"


def render_conflist(cluster: DesiredCluster, node: ClusterNode, *, bridge: str = "cni0") -> str:
    """The node's CNI network: its own /24 on that bridge, host ports by portmap."""
    plugin = {
        "type": "bridge",
        "bridge": bridge,
        "isGateway": True,
        "hairpinMode": True,
        "mtu": cluster.mgmt_mtu,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(node.pod_cidr)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.3.1", "name": "iecpod", "plugins": [plugin, portmap]}, indent=2) + "\n"


def render_routes_unit(cluster: DesiredCluster, node: ClusterNode) -> str:
    """A unit that routes the other nodes' pods over mgmt and masquerades what pods send out of the cluster."""
    others = [other for other in cluster.nodes if other.hostname != node.hostname]
    routes = "\n".join(
        f"ExecStart=/sbin/ip route replace {other.pod_cidr} via {other.address} dev {node.mgmt_device}"
        for other in others
    )
    rule = f"POSTROUTING -s {node.pod_cidr} ! -d {cluster.pod_cidr} -j MASQUERADE"
    return f"""[Unit]
Description=Routes to the pods of the other nodes
Wants=network-online.target
After=network-online.target
Before=kubelet.service

[Service]
Type=oneshot
RemainAfterExit=yes
{routes}
ExecStart=/bin/sh -c 'iptables -w -t nat -C {rule} 2>/dev/null || iptables -w -t nat -A {rule}'

[Install]
WantedBy=multi-user.target
"""


BRIDGE = Bridge()
