"""kube-router: files on the nodes, and a DaemonSet whose pods route to the pods of other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.phases.kubectl import KUBE_SYSTEM, Kubectl, KubectlAt
from iecpod.phases.node_cidrs import assign_pod_cidrs
from iecpod.phases.node_network import NodeNetwork
from iecpod.ports import Shell
from iecpod.render.kube_router import GUARD_UNIT, NAME, render_arguments, render_kube_router, render_node_network
from iecpod.watch import Watch

_DAEMON_SET = f"/apis/apps/v1/{KUBE_SYSTEM}/daemonsets/{NAME}"


@dataclass(frozen=True, slots=True)
class KubeRouterPhase:
    """Runs before the workers join: their files and Nodes are there then, and kube-router comes up on them at once."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    watch: Watch
    name: str = "cni"
    summary: str = "kube-router: routes to the pods of other nodes, network policies"
    kubectl_at: KubectlAt = Kubectl

    def probe(self) -> str | None:
        found = self._kubectl.find_awaited(_DAEMON_SET, self.watch)
        if found is None:
            return None
        wanted = [(self.cluster.release.kube_router_image, list(render_arguments(self.cluster)))]
        containers = found.at("spec").at("template").at("spec").entries("containers")
        seen = [(one.text("image"), [word.as_text() for word in one.entries("args")]) for one in containers]
        return "kube-router applied" if seen == wanted and self._node_network.is_in_place() else None

    def run(self) -> None:
        self._node_network.install(self.watch)
        # All of them: what pods send to nodes that their kube-router has not heard of is masqueraded.
        assign_pod_cidrs(self._kubectl, self.cluster.nodes)
        self._kubectl.apply(render_kube_router(self.cluster).text)

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_at(self.shells[self.cluster.control_plane.hostname])

    @property
    def _node_network(self) -> NodeNetwork:
        return NodeNetwork(self.cluster, self.shells, GUARD_UNIT, self._render)

    def _render(self, node: ClusterNode) -> dict[str, str]:
        return render_node_network(self.cluster, node)
