"""The manifest of a cluster's pod network, whichever that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iecpod.design.cluster import DesiredCluster
from iecpod.design.scenario import Cni
from iecpod.render.calico import patch_calico_manifest
from iecpod.render.calico_etcd import EtcdTls
from iecpod.render.calico_operator import render_operator
from iecpod.render.flannel import patch_flannel_manifest
from iecpod.render.kube_router import render_kube_router
from iecpod.render.manifest import ManifestText, PatchedManifest


def render_cni_manifest(
    manifests: Sequence[ManifestText], cluster: DesiredCluster, make_etcd_tls: Callable[[], EtcdTls]
) -> PatchedManifest:
    """Of a CNI that is applied, in a release that has it. Raises `DescriptorError` with everything manifests lack.

    `make_etcd_tls` is as in `patch_calico_manifest`.
    """
    release = cluster.release
    if cluster.cni is Cni.KUBE_ROUTER:
        return render_kube_router(cluster)
    if cluster.cni is Cni.FLANNEL:
        assert release.flannel is not None  # the preflight refuses a release without
        return patch_flannel_manifest(manifests, cluster, release.flannel)
    assert release.calico is not None
    if cluster.cni is Cni.CALICO_OPERATOR:
        return render_operator(manifests, cluster, release.calico)
    return patch_calico_manifest(manifests, cluster, release.calico, make_etcd_tls)
