"""Routes to the pods of other nodes, where a protocol brings them: some time after the pod that asks for them runs."""

from __future__ import annotations

from collections.abc import Mapping

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.errors import CommandFailed, NodeUnreachable, WaitTimeout
from iecpod.phases.parallel import run_on_nodes
from iecpod.ports import Shell


def find_missing_routes(cluster: DesiredCluster, shells: Mapping[str, Shell]) -> dict[str, str]:
    """By node, the others to whose pods it has no route, or why that is not known; nothing of nodes that have all."""
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
