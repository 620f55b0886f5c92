"""What is wrong with the pod network of nodes: of its pods, and of the routes that they bring."""

from __future__ import annotations

from collections.abc import Mapping

from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.kubectl.pod_status import is_running, pod_state
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.errors import CommandFailed, NodeUnreachable, WaitTimeout
from iecpod.ports import Shell

#: The kubelet says one when a pull fails, the other until it tries again. A wait takes what it has not seen before for
#: a movement, and would be extended for that.
_PULL_FAILED, _BETWEEN_PULLS = "ErrImagePull", "ImagePullBackOff"


def find_pod_faults(kubectl: Kubectl, cluster: DesiredCluster) -> dict[str, str]:
    """By node, the pod that ought to carry the network there and does not run, with image and reason.

    A node can be Ready and be in it: its kubelet asks for no more than a file, which the pod writes before it works.
    Raises what `Kubectl.load` raises.
    """
    if not cluster.cni.daemon_pods:
        return {}
    faults = {node.hostname: f"no pod of {cluster.cni.name} is there" for node in cluster.nodes}
    pods = kubectl.load(cluster.cni.daemon_pods).entries("items")
    for pod in sorted(pods, key=is_running):  # one that ends may stand beside the one that takes its place
        node = pod.at("spec").text("nodeName", "")
        if is_running(pod):
            faults.pop(node, None)
        elif node in faults:
            faults[node] = pod_state(pod).replace(_BETWEEN_PULLS, _PULL_FAILED)
    return faults


def find_missing_routes(cluster: DesiredCluster, shells: Mapping[str, Shell]) -> dict[str, str]:
    """By node, the others to whose pods it has no route, or why that is not known; nothing of nodes that have all.

    Of pod networks that learn routes; others write them once, or have none.
    """
    if not cluster.cni.learns_routes:
        return {}
    nodes = {node.hostname: node for node in cluster.nodes}
    faults = run_on_nodes(tuple(nodes), lambda hostname: _fault(cluster, nodes[hostname], shells[hostname]))
    return {hostname: fault for hostname, fault in faults.items() if fault}


def _fault(cluster: DesiredCluster, node: ClusterNode, shell: Shell) -> str:
    try:
        lines = shell.run(["ip", "-4", "route", "show"]).stdout.splitlines()
    except (CommandFailed, NodeUnreachable, WaitTimeout) as error:
        return error.cause
    missing = [
        other.hostname
        for other in cluster.nodes
        if other is not node and not any(line.startswith(f"{other.pod_cidr} via {other.address} ") for line in lines)
    ]
    return f"no route to the pods of {' and '.join(missing)}" if missing else ""
