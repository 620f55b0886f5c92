"""kubeadm configuration in the API version that the Kubernetes version reads.

Sources: kubeadm's config API reference, v1beta1 to v1beta4. v1beta4 (from 1.31) has `extraArgs` as a list of
name and value, and its timeouts in one `timeouts` block.
"""

from __future__ import annotations

from typing import Any

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.release.kubernetes_version import kubeadm_api_version, kubernetes_minor
from iecpod.release.release import Release
from iecpod.render.low_overhead import (
    LEADER_ARGUMENTS,
    MANAGER_ARGUMENTS,
    PATCHES_DIR,
    api_server_arguments,
    cheap_keys,
    etcd_arguments,
    has_plain_init,
    kubelet_flags,
    kubelet_periods,
)
from iecpod.yaml.document import dump_yaml_all

#: With docker, the kubelet cancels a pull without progress for so long, by default a minute. docker reports none
#: while it unpacks a layer, which takes slow disks and emulated guests longer.
_DOCKER_KUBELET_FLAGS = {"image-pull-progress-deadline": "10m0s"}


def render_init_config(cluster: DesiredCluster, *, token: str, timeout_seconds: float) -> str:
    """Documents for `kubeadm init --config`. `token` is a bootstrap token: a secret, gone after a minute."""
    api = kubeadm_api_version(cluster.release.kubernetes_version)
    node = cluster.control_plane
    init: dict[str, Any] = {
        "apiVersion": f"kubeadm.k8s.io/{api}",
        "kind": "InitConfiguration",
        "bootstrapTokens": [{"token": token, "ttl": "1m0s"}],
        # No taints at all is what the IEC text reaches by removing the master's taint afterwards.
        "nodeRegistration": {**_node_registration(cluster, node, api), "taints": []},
        "localAPIEndpoint": {"advertiseAddress": str(node.address), "bindPort": 6443},
    }
    version = cluster.release.kubernetes_version
    if cluster.low_overhead and has_plain_init(version):
        init["patches"] = {"directory": PATCHES_DIR}
    if api == "v1beta4":
        init["timeouts"] = _init_timeouts(timeout_seconds)
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": cluster.release.cgroup_driver,
        **(kubelet_periods(version) if cluster.low_overhead else {}),
    }
    return dump_yaml_all([init, _cluster_configuration(cluster, api, timeout_seconds), kubelet])


def render_join_config(
    cluster: DesiredCluster, node: ClusterNode, *, token: str, ca_cert_hash: str, timeout_seconds: float
) -> str:
    """The document for `kubeadm join --config`; the CA is pinned by the hash of its public key."""
    api = kubeadm_api_version(cluster.release.kubernetes_version)
    discovery: dict[str, Any] = {
        "bootstrapToken": {
            "token": token,
            "apiServerEndpoint": cluster.api_endpoint,
            "caCertHashes": [ca_cert_hash],
        }
    }
    join: dict[str, Any] = {
        "apiVersion": f"kubeadm.k8s.io/{api}",
        "kind": "JoinConfiguration",
        "discovery": discovery,
        "nodeRegistration": _node_registration(cluster, node, api),
    }
    timeout = _duration(timeout_seconds)
    if api == "v1beta4":
        join["timeouts"] = {
            "discovery": timeout,
            "tlsBootstrap": timeout,
            "kubeletHealthCheck": timeout,
            "kubernetesAPICall": _api_call(timeout_seconds),
        }
    else:
        discovery["timeout"] = timeout
    return dump_yaml_all([join])


def _init_timeouts(timeout_seconds: float) -> dict[str, str]:
    """v1beta4 has one timeout for each wait; those of joins and upgrades mean nothing to an init."""
    timeout = _duration(timeout_seconds)
    return {
        "controlPlaneComponentHealthCheck": timeout,
        "kubeletHealthCheck": timeout,
        "kubernetesAPICall": _api_call(timeout_seconds),
        "etcdAPICall": _api_call(2 * timeout_seconds),
    }


def _api_call(timeout_seconds: float) -> str:
    """For one request: a fifth of the whole, and no less than kubeadm's own minute."""
    return _duration(max(60.0, timeout_seconds / 5))


def render_images_config(release: Release) -> str:
    """Documents for `kubeadm config images list --config`: what decides which images a cluster of the release has.

    What kubeadm would look for on a node is given, so that nothing of this host matters.
    """
    api = kubeadm_api_version(release.kubernetes_version)
    init: dict[str, Any] = {
        "apiVersion": f"kubeadm.k8s.io/{api}",
        "kind": "InitConfiguration",
        "nodeRegistration": {"name": "node", "criSocket": _cri_socket(release)},
        "localAPIEndpoint": {"advertiseAddress": "192.0.2.1", "bindPort": 6443},
    }
    configuration: dict[str, Any] = {
        "apiVersion": f"kubeadm.k8s.io/{api}",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": f"v{release.kubernetes_version}",
        "etcd": {"local": {"dataDir": "/var/lib/etcd", **_etcd_tag(release)}},
    }
    if release.image_repository:
        configuration["imageRepository"] = release.image_repository
    if release.coredns_version:
        configuration["dns"] = {"imageTag": release.coredns_version}
    return dump_yaml_all([init, configuration])


def _cluster_configuration(cluster: DesiredCluster, api: str, timeout_seconds: float) -> dict[str, Any]:
    release = cluster.release
    version = release.kubernetes_version
    leader = LEADER_ARGUMENTS if cluster.low_overhead else {}
    manager = {
        **(MANAGER_ARGUMENTS if cluster.low_overhead else {}),
        **({"allocate-node-cidrs": "false"} if cluster.cni.has_planned_cidrs else {}),
    }
    address = str(cluster.control_plane.address)
    names = [name for node in cluster.control_planes for name in (str(node.address), node.hostname)]
    # Probes, components and nodes use that address; its default is every network that the node is on.
    arguments = {"bind-address": address, **(api_server_arguments(version) if cluster.low_overhead else {})}
    api_server: dict[str, Any] = {
        "certSANs": list(dict.fromkeys([str(cluster.endpoint), *names])),
        **_extra_args(arguments, api),
    }
    if api != "v1beta4":
        api_server["timeoutForControlPlane"] = _duration(timeout_seconds)
    configuration: dict[str, Any] = {
        "apiVersion": f"kubeadm.k8s.io/{api}",
        "kind": "ClusterConfiguration",
        "clusterName": cluster.name,
        "kubernetesVersion": f"v{version}",
        "controlPlaneEndpoint": cluster.api_endpoint,
        "networking": {
            "podSubnet": str(cluster.pod_cidr),
            "serviceSubnet": str(cluster.service_cidr),
            "dnsDomain": "cluster.local",
        },
        "apiServer": api_server,
        "controllerManager": _extra_args(manager, api),
        "scheduler": _extra_args(leader, api),
        "etcd": {
            "local": {
                "dataDir": "/var/lib/etcd",
                **_etcd_tag(release),
                **_extra_args(etcd_arguments(version) if cluster.low_overhead else {}, api),
            },
        },
    }
    if release.image_repository:
        configuration["imageRepository"] = release.image_repository
    if release.coredns_version:
        configuration["dns"] = {"imageTag": release.coredns_version}
    if cluster.low_overhead:
        configuration |= cheap_keys(version, api)
    return configuration


def _node_registration(cluster: DesiredCluster, node: ClusterNode, api: str) -> dict[str, Any]:
    flags = {
        "node-ip": str(node.address),
        # Of this node alone: the kubelet's configuration is one for the whole cluster.
        "address": str(node.address),
        **(_DOCKER_KUBELET_FLAGS if cluster.release.runtime == "docker" else {}),
        **(kubelet_flags(cluster.release.kubernetes_version) if cluster.low_overhead else {}),
    }
    return {
        "name": node.hostname,
        "criSocket": cri_socket(cluster),
        **_extra_args(flags, api, key="kubeletExtraArgs"),
    }


def cri_socket(cluster: DesiredCluster) -> str:
    return _cri_socket(cluster.release)


def _cri_socket(release: Release) -> str:
    """The runtime's socket; a path before 1.24, a URL since (kubeadm warns of the other form)."""
    path = {"containerd": "/run/containerd/containerd.sock", "docker": "/var/run/dockershim.sock"}
    scheme = "unix://" if kubernetes_minor(release.kubernetes_version) >= (1, 24) else ""
    return scheme + path[release.runtime]


def _etcd_tag(release: Release) -> dict[str, str]:
    return {"imageTag": release.etcd_version} if release.etcd_version else {}


def _extra_args(arguments: dict[str, str], api: str, key: str = "extraArgs") -> dict[str, Any]:
    if not arguments:
        return {}
    if api == "v1beta4":
        return {key: [{"name": name, "value": value} for name, value in arguments.items()]}
    return {key: dict(arguments)}


def _duration(seconds: float) -> str:
    """Go's notation, e.g. `20m0s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s"
