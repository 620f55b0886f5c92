"""Calico by the Tigera operator, which is applied, given an Installation, and waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import WaitTimeout
from iecpod.phases.kubectl import Kubectl, KubectlAt, api_awaited, condition_of
from iecpod.phases.network_pods import find_network_faults
from iecpod.phases.stuck_pods import tell_stuck_pods
from iecpod.ports import Shell
from iecpod.render.calico_operator import CUSTOM_KINDS, INSTALLATION_NAME
from iecpod.render.manifest import PatchedManifest
from iecpod.wait import NotYet
from iecpod.watch import Watch

_ESTABLISHED_SECONDS = 60.0
#: The operator's image and then Calico's own are pulled meanwhile.
_RUNNING_SECONDS = 300.0
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_INSTALLATION = f"/apis/operator.tigera.io/v1/installations/{INSTALLATION_NAME}"
_CALICO_NODE = "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node"


@dataclass(frozen=True, slots=True)
class CalicoOperatorPhase:
    """`load_manifest` fetches the pinned manifests and makes the Installation."""

    cluster: DesiredCluster
    shell: Shell
    load_manifest: Callable[[], PatchedManifest]
    watch: Watch
    name: str = "cni"
    summary: str = "Calico by the Tigera operator"
    kubectl_at: KubectlAt = Kubectl

    def probe(self) -> str | None:
        kubectl = self.kubectl_at(self.shell)
        installation = kubectl.find_awaited(_INSTALLATION, self.watch)
        network = installation.at("spec").get("calicoNetwork") if installation else None
        pools = network.entries("ipPools") if network else ()
        if str(self.cluster.pod_cidr) not in (pool.text("cidr", "") for pool in pools):
            return None
        made = kubectl.find_awaited(_CALICO_NODE, self.watch) is not None
        return "calico-node made by the operator" if made else None

    def run(self) -> None:
        kubectl = self.kubectl_at(self.shell)
        manifest = self.load_manifest()
        for change in manifest.changes:
            self.watch.reporter.progress(change)
        kubectl.apply_on_server(manifest.text)
        self._wait_for("the operator's kinds established", self._check_established, _ESTABLISHED_SECONDS)
        kubectl.apply(manifest.custom_resources)
        try:
            self._wait_for("calico-node Running", self._check_running, _RUNNING_SECONDS)
        except WaitTimeout as error:
            stuck = tell_stuck_pods(self.kubectl_at(self.shell), self.cluster.cni.namespaces)
            error.evidence = "\n".join(filter(None, (stuck, error.evidence)))
            raise

    def _wait_for(self, awaited: str, check: Callable[[Kubectl], None], seconds: float) -> None:
        def probe() -> None:
            with api_awaited():
                check(self.kubectl_at(self.shell))

        self.watch.wait_for(
            awaited,
            probe,
            seconds=seconds,
            console_of=self.shell.node,
            remedy=f"see `{self.watch.command('kubectl', 'get', 'tigerastatuses')}`",
        )

    def _check_established(self, kubectl: Kubectl) -> None:
        for kind in CUSTOM_KINDS:
            seen = kubectl.load(f"{_CRDS}/{kind}")
            if seen.get("status") is None or condition_of(seen, "Established") != "True":
                raise NotYet(f"{kind} is not established")

    def _check_running(self, kubectl: Kubectl) -> None:
        """On the first node: workers join later."""
        first = self.cluster.control_plane.hostname
        fault = find_network_faults(kubectl, self.cluster).get(first)
        if fault is not None:
            raise NotYet(f"{first}: {fault}")
