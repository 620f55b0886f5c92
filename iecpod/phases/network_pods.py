"""The pods that carry the cluster's network, one on each node, where the network is made of pods."""

from __future__ import annotations

from iecpod.design.cluster import DesiredCluster
from iecpod.design.scenario import Cni
from iecpod.phases.k8s_pods import is_running, pod_state
from iecpod.phases.kubectl import SYSTEM_PODS, Kubectl

#: Where the API lists them, by the labels of upstream's own manifests. What the bridge CNI consists of is files.
#: flannel has moved from kube-system to a namespace of its own.
_LISTED_AT = {
    Cni.CALICO: f"{SYSTEM_PODS}?labelSelector=k8s-app%3Dcalico-node",
    Cni.CALICO_OPERATOR: "/api/v1/namespaces/calico-system/pods?labelSelector=k8s-app%3Dcalico-node",
    Cni.FLANNEL: "/api/v1/pods?labelSelector=app%3Dflannel",
    Cni.KUBE_ROUTER: f"{SYSTEM_PODS}?labelSelector=k8s-app%3Dkube-router",
}

#: The kubelet says one when a pull fails, the other until it tries again. A wait takes what it has not seen before for
#: a movement, and would go on for that.
_PULL_FAILED, _BETWEEN_PULLS = "ErrImagePull", "ImagePullBackOff"


def find_network_faults(kubectl: Kubectl, cluster: DesiredCluster) -> dict[str, str]:
    """By node, the pod that ought to carry the network there and does not run, with image and reason.

    A node can be Ready and be in it: its kubelet asks for no more than a file, which the pod writes before it works.
    Raises what `Kubectl.load` raises.
    """
    path = _LISTED_AT.get(cluster.cni)
    if path is None:
        return {}
    faults = {node.hostname: f"no pod of {cluster.cni.value} is there" for node in cluster.nodes}
    pods = kubectl.load(path).entries("items")
    for pod in sorted(pods, key=is_running):  # one that ends may stand beside the one that takes its place
        node = pod.at("spec").text("nodeName", "")
        if is_running(pod):
            faults.pop(node, None)
        elif node in faults:
            faults[node] = pod_state(pod).replace(_BETWEEN_PULLS, _PULL_FAILED)
    return faults
