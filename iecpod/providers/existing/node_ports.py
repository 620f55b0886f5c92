"""The ports of a node: what Kubernetes and the pod network listen on there, and what other nodes send to."""

from __future__ import annotations

from iecpod.design.cluster import ClusterNode, DesiredCluster, NodePort, Transport


def _kubernetes(number: int, *, for_nodes: bool = False, on_control_plane: bool = False) -> NodePort:
    return NodePort(transport=Transport.TCP, number=number, for_nodes=for_nodes, on_control_plane=on_control_plane)


#: Kubernetes, "Ports and Protocols", with the ports of probes, of kube-proxy and of etcd.
_KUBERNETES = (
    _kubernetes(6443, for_nodes=True, on_control_plane=True),
    _kubernetes(10250, for_nodes=True),
    *(_kubernetes(number) for number in (10248, 10249, 10256)),
    *(_kubernetes(number, on_control_plane=True) for number in (2379, 2380, 2381, 10257, 10259)),
)


def kubernetes_ports(node: ClusterNode) -> tuple[NodePort, ...]:
    return tuple(port for port in _KUBERNETES if port.is_on(node.role))


def cni_ports(node: ClusterNode, cluster: DesiredCluster) -> tuple[NodePort, ...]:
    return tuple(port for port in cluster.cni.ports(cluster.release) if port.is_on(node.role))


def reached_ports(node: ClusterNode, cluster: DesiredCluster) -> tuple[NodePort, ...]:
    """Those that other nodes send to."""
    return tuple(port for port in (*kubernetes_ports(node), *cni_ports(node, cluster)) if port.for_nodes)
