"""kubeadm configuration in the API version that the Kubernetes version wants.

Sources: kubeadm's config API reference, v1beta1 to v1beta4. v1beta4 (from 1.31) has `extraArgs` as a list of
name and value, and its timeouts in one `timeouts` block.
"""

from __future__ import annotations

from typing import Any

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.design.release import Release
from iecpod.design.scenario import Cni
from iecpod.yaml_document import dump_yaml_all

_API_VERSIONS = (((1, 31), "v1beta4"), ((1, 22), "v1beta3"), ((1, 15), "v1beta2"), ((1, 13), "v1beta1"))

#: Kubernetes' own periods, stretched so that emulated guests are not starved by housekeeping (measured).
_CALM_KUBELET = {
    "nodeStatusUpdateFrequency": "1m0s",
    "nodeStatusReportFrequency": "5m0s",
    "syncFrequency": "2m0s",
    "fileCheckFrequency": "20s",
}
_CALM_ETCD = {"heartbeat-interval": "1000", "election-timeout": "10000"}
_CALM_LEADER = {"leader-elect": "false"}
#: The kubelet walks the cgroups of all QoS classes every two seconds: a third of its time in an emulated guest. Flags,
#: since an empty list of what to enforce does not survive kubeadm's copy of the kubelet's configuration.
_CALM_KUBELET_FLAGS = {"housekeeping-interval": "60s", "cgroups-per-qos": "false", "enforce-node-allocatable": ""}

#: With docker, the kubelet breaks a pull off that tells no progress for so long, by default a minute. docker tells none
#: while it unpacks a layer, which takes slow disks and emulated guests longer.
_DOCKER_KUBELET_FLAGS = {"image-pull-progress-deadline": "10m0s"}


def kubernetes_minor(version: str) -> tuple[int, int]:
    major, minor = version.removeprefix("v").split(".")[:2]
    return int(major), int(minor)


def kubeadm_api_version(kubernetes_version: str) -> str:
    """The newest config API that this version of kubeadm reads without a deprecation, e.g. `v1beta2` for 1.20."""
    minor = kubernetes_minor(kubernetes_version)
    return next(api for since, api in _API_VERSIONS if minor >= since)


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
    if api == "v1beta4":
        init["timeouts"] = {"controlPlaneComponentHealthCheck": _duration(timeout_seconds)}
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": cluster.release.cgroup_driver,
        **(_CALM_KUBELET if cluster.calm else {}),
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
        join["timeouts"] = {"discovery": timeout, "tlsBootstrap": timeout, "kubeletHealthCheck": timeout}
    else:
        discovery["timeout"] = timeout
    return dump_yaml_all([join])


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
    return dump_yaml_all([init, configuration])


def _cluster_configuration(cluster: DesiredCluster, api: str, timeout_seconds: float) -> dict[str, Any]:
    release = cluster.release
    leader = _CALM_LEADER if cluster.calm else {}
    # The bridge CNI is planned with a /24 a node; the controller would give them out in the order of joining.
    manager = {**leader, **({"allocate-node-cidrs": "false"} if cluster.cni is Cni.BRIDGE else {})}
    api_server: dict[str, Any] = {
        "certSANs": [str(cluster.control_plane.address), cluster.control_plane.hostname],
        **_extra_args(_calm_api_server(release.kubernetes_version) if cluster.calm else {}, api),
    }
    if api != "v1beta4":
        api_server["timeoutForControlPlane"] = _duration(timeout_seconds)
    configuration: dict[str, Any] = {
        "apiVersion": f"kubeadm.k8s.io/{api}",
        "kind": "ClusterConfiguration",
        "clusterName": cluster.name,
        "kubernetesVersion": f"v{release.kubernetes_version}",
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
                **_extra_args(_calm_etcd(release.kubernetes_version) if cluster.calm else {}, api),
            },
        },
    }
    if release.image_repository:
        configuration["imageRepository"] = release.image_repository
    if cluster.calm:
        configuration |= _cheap_keys(release.kubernetes_version, api)
    return configuration


def _calm_api_server(kubernetes_version: str) -> dict[str, str]:
    """Without API Priority and Fairness where it keeps histograms by the millisecond (1.20 to 1.25).

    Every millisecond of every priority level is one observation, whether anything happened or not: in emulated guests
    that was measured to take more than half of the API server's time.
    """
    counts_milliseconds = (1, 20) <= kubernetes_minor(kubernetes_version) < (1, 26)
    return {"feature-gates": "APIPriorityAndFairness=false"} if counts_milliseconds else {}


def _calm_etcd(kubernetes_version: str) -> dict[str, str]:
    """Without waiting for the disk where etcd can: since 3.4.4, and kubeadm brings 3.4.9 or later since 1.19."""
    return {**_CALM_ETCD, **({"unsafe-no-fsync": "true"} if kubernetes_minor(kubernetes_version) >= (1, 19) else {})}


def _cheap_keys(kubernetes_version: str, api: str) -> dict[str, Any]:
    """P-256 for the cluster's keys, where kubeadm can: an RSA key takes an emulated guest seconds."""
    if api == "v1beta4":
        return {"encryptionAlgorithm": "ECDSA-P256"}
    return {"featureGates": {"PublicKeysECDSA": True}} if kubernetes_minor(kubernetes_version) >= (1, 19) else {}


def _node_registration(cluster: DesiredCluster, node: ClusterNode, api: str) -> dict[str, Any]:
    flags = {
        "node-ip": str(node.address),
        **(_DOCKER_KUBELET_FLAGS if cluster.release.runtime == "docker" else {}),
        **(_CALM_KUBELET_FLAGS if cluster.calm else {}),
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
