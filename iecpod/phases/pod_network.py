"""Which phase makes the pod network that a cluster is to have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iecpod.design.cluster import DesiredCluster
from iecpod.design.scenario import Cni
from iecpod.phases.cni import BridgeCniPhase, CalicoPhase, FlannelPhase
from iecpod.phases.cni_kube_router import KubeRouterPhase
from iecpod.phases.cni_operator import CalicoOperatorPhase
from iecpod.phases.kubectl import Kubectl, KubectlAt
from iecpod.ports import Shell
from iecpod.render.manifest import PatchedManifest
from iecpod.watch import Watch
from iecpod.workflow import Phase

_BY_MANIFEST: Mapping[Cni, Callable[..., Phase]] = {
    Cni.CALICO: CalicoPhase,
    Cni.CALICO_OPERATOR: CalicoOperatorPhase,
    Cni.FLANNEL: FlannelPhase,
}


def pod_network_phase(
    cluster: DesiredCluster,
    shells: Mapping[str, Shell],
    load_manifest: Callable[[], PatchedManifest],
    watch: Watch,
    kubectl_at: KubectlAt = Kubectl,
) -> Phase:
    if cluster.cni is Cni.BRIDGE:
        return BridgeCniPhase(cluster, shells, watch)
    if cluster.cni is Cni.KUBE_ROUTER:
        return KubeRouterPhase(cluster, shells, watch, kubectl_at=kubectl_at)
    first = shells[cluster.control_plane.hostname]
    return _BY_MANIFEST[cluster.cni](cluster, first, load_manifest, watch, kubectl_at=kubectl_at)
