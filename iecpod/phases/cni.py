"""The pod network: files on the nodes for `bridge`, a manifest for `calico` and `flannel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.errors import IecpodError
from iecpod.phases.kubectl import KUBE_SYSTEM, Kubectl
from iecpod.phases.parallel import run_on_nodes
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
        try:
            in_place = run_on_nodes(tuple(self.shells), self._is_in_place)
        except IecpodError:
            return None
        return f"bridge on {len(in_place)} nodes" if all(in_place.values()) else None

    def run(self) -> None:
        self.watch.on_nodes(tuple(self.shells), self._install)

    def _node(self, hostname: str) -> ClusterNode:
        return next(node for node in self.cluster.nodes if node.hostname == hostname)

    def _files(self, hostname: str) -> dict[str, str]:
        node = self._node(hostname)
        return {
            ROUTES_UNIT_PATH: render_routes_unit(self.cluster, node),
            CONFLIST_PATH: render_conflist(self.cluster, node),
        }

    def _is_in_place(self, hostname: str) -> bool:
        shell = self.shells[hostname]
        active = shell.run(["systemctl", "is-active", ROUTES_UNIT], check=False).stdout.strip() == "active"
        return active and all(
            shell.run(["cat", path], check=False).stdout == text for path, text in self._files(hostname).items()
        )

    def _install(self, hostname: str) -> None:
        shell = self.shells[hostname]
        for path, text in self._files(hostname).items():
            shell.write_file(path, text.encode())
        shell.run(["systemctl", "daemon-reload"])
        shell.run(["systemctl", "enable", ROUTES_UNIT])
        shell.run(["systemctl", "restart", ROUTES_UNIT])


@dataclass(frozen=True, slots=True)
class CalicoPhase:
    """Applies the patched manifest; `load_manifest` fetches the pinned one and patches it."""

    cluster: DesiredCluster
    shell: Shell
    load_manifest: Callable[[], PatchedManifest]
    watch: Watch
    name: str = "cni"
    summary: str = "Calico from the pinned upstream manifest"

    def probe(self) -> str | None:
        found = Kubectl(self.shell).find(f"/apis/apps/v1/{KUBE_SYSTEM}/daemonsets/calico-node")
        if found is None:
            return None
        environment = {
            variable["name"]: variable.get("value")
            for container in found["spec"]["template"]["spec"]["containers"]
            for variable in container.get("env", ())
        }
        return "calico-node applied" if environment.get("CALICO_IPV4POOL_CIDR") == str(self.cluster.pod_cidr) else None

    def run(self) -> None:
        _apply(self.shell, self.load_manifest(), self.watch)


@dataclass(frozen=True, slots=True)
class FlannelPhase:
    """As `CalicoPhase`. flannel has moved from kube-system to a namespace of its own, so it is looked for in all."""

    cluster: DesiredCluster
    shell: Shell
    load_manifest: Callable[[], PatchedManifest]
    watch: Watch
    name: str = "cni"
    summary: str = "flannel from its upstream manifest"

    def probe(self) -> str | None:
        kubectl = Kubectl(self.shell)
        configs = kubectl.find(f"/api/v1/configmaps?fieldSelector=metadata.name%3D{CONFIG_NAME}")
        networks = [parse_network(config) or {} for config in configs["items"]] if configs else []
        if str(self.cluster.pod_cidr) not in (network.get("Network") for network in networks):
            return None
        daemons = kubectl.find("/apis/apps/v1/daemonsets?labelSelector=app%3Dflannel")
        return "flannel applied" if daemons and daemons["items"] else None

    def run(self) -> None:
        _apply(self.shell, self.load_manifest(), self.watch)


def _apply(shell: Shell, manifest: PatchedManifest, watch: Watch) -> None:
    for change in manifest.changes:
        watch.reporter.progress(change)
    Kubectl(shell).apply(manifest.text)
