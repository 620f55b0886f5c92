"""The pod network: files on the nodes for `bridge`, a manifest for `calico` and `flannel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.phases.kubectl import KUBE_SYSTEM, Kubectl, KubectlAt
from iecpod.phases.node_network import NodeNetwork
from iecpod.ports import Shell
from iecpod.render.bridge_cni import CONFLIST_PATH, ROUTES_UNIT, ROUTES_UNIT_PATH, render_conflist, render_routes_unit
from iecpod.render.flannel import CONFIG_NAME, parse_network
from iecpod.render.manifest import PatchedManifest
from iecpod.watch import Watch


@dataclass(frozen=True, slots=True)
class BridgeCniPhase:
    """Runs before the workers join, so that they are ready as soon as they do."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    watch: Watch
    name: str = "cni"
    summary: str = "bridge CNI and routes between the nodes' pods"

    def probe(self) -> str | None:
        return f"bridge on {len(self.shells)} nodes" if self._node_network.is_in_place() else None

    def run(self) -> None:
        self._node_network.install(self.watch)

    @property
    def _node_network(self) -> NodeNetwork:
        return NodeNetwork(self.cluster, self.shells, ROUTES_UNIT, self._render)

    def _render(self, node: ClusterNode) -> dict[str, str]:
        return {
            ROUTES_UNIT_PATH: render_routes_unit(self.cluster, node),
            CONFLIST_PATH: render_conflist(self.cluster, node),
        }


@dataclass(frozen=True, slots=True)
class CalicoPhase:
    """Applies the patched manifest; `load_manifest` fetches the pinned one and patches it."""

    cluster: DesiredCluster
    shell: Shell
    load_manifest: Callable[[], PatchedManifest]
    watch: Watch
    name: str = "cni"
    summary: str = "Calico from the pinned upstream manifest"
    kubectl_at: KubectlAt = Kubectl

    def probe(self) -> str | None:
        path = f"/apis/apps/v1/{KUBE_SYSTEM}/daemonsets/calico-node"
        found = self.kubectl_at(self.shell).find_awaited(path, self.watch)
        if found is None:
            return None
        environment = {
            variable.text("name"): variable.text("value", "")
            for container in found.at("spec").at("template").at("spec").entries("containers")
            for variable in container.entries("env")
        }
        return "calico-node applied" if environment.get("CALICO_IPV4POOL_CIDR") == str(self.cluster.pod_cidr) else None

    def run(self) -> None:
        _apply(self.kubectl_at(self.shell), self.load_manifest(), self.watch)


@dataclass(frozen=True, slots=True)
class FlannelPhase:
    """As `CalicoPhase`. flannel has moved from kube-system to a namespace of its own, so it is looked for in all."""

    cluster: DesiredCluster
    shell: Shell
    load_manifest: Callable[[], PatchedManifest]
    watch: Watch
    name: str = "cni"
    summary: str = "flannel from its upstream manifest"
    kubectl_at: KubectlAt = Kubectl

    def probe(self) -> str | None:
        kubectl = self.kubectl_at(self.shell)
        path = f"/api/v1/configmaps?fieldSelector=metadata.name%3D{CONFIG_NAME}"
        configs = kubectl.find_awaited(path, self.watch)
        networks = [parse_network(config.value) or {} for config in configs.entries("items")] if configs else []
        if str(self.cluster.pod_cidr) not in (network.get("Network") for network in networks):
            return None
        daemons = kubectl.find_awaited("/apis/apps/v1/daemonsets?labelSelector=app%3Dflannel", self.watch)
        return "flannel applied" if daemons and daemons.entries("items") else None

    def run(self) -> None:
        _apply(self.kubectl_at(self.shell), self.load_manifest(), self.watch)


def _apply(kubectl: Kubectl, manifest: PatchedManifest, watch: Watch) -> None:
    for change in manifest.changes:
        watch.reporter.progress(change)
    kubectl.apply(manifest.text)
