"""The pod CIDRs of the plan, given to nodes in the API, also before they join."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.design.cluster import ClusterNode
from iecpod.outside_json import Json
from iecpod.yaml.document import dump_yaml_all


def assign_pod_cidrs(kubectl: Kubectl, nodes: Iterable[ClusterNode]) -> None:
    """A node's CIDR can be set once and is never changed; one that has not joined is listed with it beforehand.

    kube-router ends where its node has none, and the kubelet takes a Node that is there for its own. The address is
    taken over for new Nodes only: kube-router makes a peer of a Node when it appears, and then asks for its address.
    """
    kubectl.apply(dump_yaml_all(_node(node) for node in nodes))


def has_reported(item: Json) -> bool:
    """Whether a kubelet has ever reported for that Node of the API."""
    status = item.get("status")
    info = status.get("nodeInfo") if status else None
    return not info or bool(info.text("bootID", "unknown"))


def _node(node: ClusterNode) -> dict[str, Any]:
    cidr = str(node.pod_cidr)
    addresses = [
        {"type": "InternalIP", "address": str(node.address)},
        {"type": "Hostname", "address": node.hostname},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.hostname},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": {"addresses": addresses},
    }
