"""The pod network that a cluster is to have: files on the nodes, then a manifest, whatever its CNI has of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from iecpod.deploy.kubectl.kubectl import Kubectl, KubectlAt, condition_of
from iecpod.deploy.kubectl.network_health import find_pod_faults
from iecpod.deploy.kubectl.node_cidrs import assign_pod_cidrs
from iecpod.deploy.kubectl.object_waits import wait_for_objects
from iecpod.deploy.kubectl.pods_not_running import describe_pods_not_running
from iecpod.deploy.node.cni_files import CniFiles
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import DesiredCluster, NodeCidrs
from iecpod.design.manifest_text import PatchedManifest
from iecpod.errors import WaitTimeout
from iecpod.ports import Shell
from iecpod.wait import NotYet

_ESTABLISHED_SECONDS = 60.0
#: An operator's image and then those of the network itself are pulled meanwhile.
_RUNNING_SECONDS = 300.0
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class PodNetworkPhase:
    """Runs before the workers join, so that they are Ready soon after. `load_manifest` fetches and patches it."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    load_manifest: Callable[[], PatchedManifest]
    tools: PhaseTools
    name: str = "cni"
    kubectl_at: KubectlAt = Kubectl

    @property
    def summary(self) -> str:
        return self.cluster.cni.summary

    def probe(self) -> str | None:
        cni = self.cluster.cni
        kubectl = self._kubectl
        applied = cni.find_applied(self.cluster, lambda path: kubectl.find_awaited(path, self.tools.waits))
        if applied is None or (cni.node_unit and not self._files.is_in_place(self.tools.waits)):
            return None
        return applied

    def run(self) -> None:
        cni = self.cluster.cni
        if cni.node_unit:
            self._files.install(self.tools.node_times)
        if cni.node_cidrs is NodeCidrs.REGISTERED:
            # All of them: what pods send to nodes that their router has not heard of is masqueraded.
            assign_pod_cidrs(self._kubectl, self.cluster.nodes)
        if cni.has_manifest:
            self._apply(self.load_manifest())

    @property
    def _first(self) -> Shell:
        return self.shells[self.cluster.control_plane.hostname]

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_at(self._first)

    @property
    def _files(self) -> CniFiles:
        return CniFiles(self.cluster, self.shells)

    def _apply(self, manifest: PatchedManifest) -> None:
        for change in manifest.changes:
            self.tools.reporter.progress(change)
        if self.cluster.cni.is_applied_on_server:
            self._kubectl.apply_on_server(manifest.text)
        else:
            self._kubectl.apply(manifest.text)
        if manifest.custom_resources:
            self._apply_custom_resources(manifest)

    def _apply_custom_resources(self, manifest: PatchedManifest) -> None:
        """An operator makes the network of them."""
        cni = self.cluster.cni
        kinds = manifest.custom_kinds
        self._wait_for(
            "the operator's kinds established",
            lambda kubectl: _check_established(kubectl, kinds),
            [f"{_CRDS}?fieldSelector=metadata.name%3D{kind}" for kind in kinds],
            _ESTABLISHED_SECONDS,
        )
        self._kubectl.apply(manifest.custom_resources)
        try:
            self._wait_for(f"{cni.daemon} Running", self._check_running, [cni.daemon_pods], _RUNNING_SECONDS)
        except WaitTimeout as error:
            pods = describe_pods_not_running(self._kubectl, cni.namespaces)
            error.evidence = "\n".join(filter(None, (pods, error.evidence)))
            raise

    def _wait_for(self, awaited: str, check: Callable[[Kubectl], None], paths: Sequence[str], seconds: float) -> None:
        wait_for_objects(
            awaited,
            check,
            self._kubectl,
            paths,
            self.tools.waits,
            seconds=seconds,
            console_of=self._first.node,
            remedy=f"see `{self.tools.advice.command('kubectl', *self.cluster.cni.status_query)}`",
        )

    def _check_running(self, kubectl: Kubectl) -> None:
        """On the first node: workers join later."""
        first = self.cluster.control_plane.hostname
        fault = find_pod_faults(kubectl, self.cluster).get(first)
        if fault is not None:
            raise NotYet(f"{first}: {fault}")


def _check_established(kubectl: Kubectl, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        seen = kubectl.load(f"{_CRDS}/{kind}")
        if seen.get("status") is None or condition_of(seen, "Established") != "True":
            raise NotYet(f"{kind} is not established")
