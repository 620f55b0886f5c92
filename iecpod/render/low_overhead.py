"""The low-overhead mode: what Kubernetes is given on emulated guests so that it does less, and is waited for longer.

What versions before 1.33 get was measured with 1.20, where each second of the control plane counted. 1.36 and 1.37 were
measured to come up as fast without most of it; what is left for them was seen to be needed on a host with other work:
without it, controller-manager and scheduler lost their leader election, and the kubelet restarted an API server that
answered slowly.
"""

from __future__ import annotations

from typing import Any

from iecpod.release.kubernetes_version import kubernetes_minor
from iecpod.render.manifest_patch import ManifestPatch
from iecpod.yaml.document import dump_yaml_all

#: Since then kubeadm waits for all three components and reads their manifests (`WaitForAllControlPlaneComponents`).
_WAITS_FOR_ALL = (1, 33)

#: Where kubeadm finds patches of what it makes, on the first node.
PATCHES_DIR = "/etc/kubernetes/iecpod-patches"

#: The control plane has one node: there is no other to lead instead.
LEADER_ARGUMENTS = {"leader-elect": "false"}

#: A node that is silent for longer becomes NotReady until its kubelet reports the next time (`_STATUS_PERIODS`).
#: Kubernetes' 50 seconds can pass while nodes are saved, restored, or wait for a busy host.
MANAGER_ARGUMENTS = {**LEADER_ARGUMENTS, "node-monitor-grace-period": "2m0s"}

#: Go's scheduler wakes a thread on each processor to look for work, and each wake costs an emulated guest a switch of
#: its address space. With one processor the first node of an idle cluster took 0.66 cores of this host instead of 1.25.
GO_ENVIRONMENT = {"GOMAXPROCS": "1"}

#: The same as a pod has it.
GO_VARIABLES = [{"name": name, "value": value} for name, value in GO_ENVIRONMENT.items()]

_ETCD_PERIODS = {"heartbeat-interval": "1000", "election-timeout": "10000"}
#: kubeadm asks etcd to say every 5 seconds, to each of the API server's 60 watches, that nothing happened: twelve
#: messages a second, which both encrypt. The API server asks by itself where a request needs to know.
_SELDOM_SAID = {"watch-progress-notify-interval": "1m0s", "backend-batch-interval": "1s"}
#: The name of that argument, and etcd 3.6, are kubeadm's since then.
_ETCD_3_6 = (1, 34)
#: For two metrics that are not read here, the API server asks etcd about each kind of object every minute.
_NO_ETCD_METRICS = {"etcd-count-metric-poll-period": "0s", "etcd-db-metric-poll-interval": "0s"}
#: What the API server's health checks wait for etcd. After its own two seconds it says that it is not alive: on a busy
#: host the kubelet stopped one that served, and the next could not start while all its clients came back at once.
_ETCD_AWAITED = {"etcd-healthcheck-timeout": "55s", "etcd-readycheck-timeout": "55s"}
_STATUS_PERIODS = {"nodeStatusUpdateFrequency": "1m0s", "nodeStatusReportFrequency": "5m0s"}
_SYNC_PERIODS = {"syncFrequency": "2m0s", "fileCheckFrequency": "20s"}
#: The kubelet walks the cgroups of all QoS classes every two seconds: a third of its time in an emulated guest. Flags,
#: since an empty list of what to enforce does not survive kubeadm's copy of the kubelet's configuration.
_CGROUP_FLAGS = {"cgroups-per-qos": "false", "enforce-node-allocatable": ""}
#: Numbers of each container's use, by default every ten seconds: a fifth of the kubelet's time.
_HOUSEKEEPING_FLAGS = {"housekeeping-interval": "60s"}

#: kubeadm gives its static pods 8 tries of 15 seconds, ten seconds apart: two minutes until a restart. These are 16
#: minutes at least, eight times as much, as other deadlines of emulated guests: a try may fail at once, or after the
#: ten seconds that a probe's TLS handshake has. A container that ends is restarted at once all the same. Asked every
#: ten seconds, handshakes were a third of what an idle scheduler did: it makes itself an RSA key.
_PATIENT = {"timeoutSeconds": 60, "periodSeconds": 60, "failureThreshold": 16}
#: kubeadm asks every second whether a component is ready: a TLS connection each time, and nothing depends on it.
_SELDOM_ASKED = {"timeoutSeconds": 60, "periodSeconds": 10}
#: A startup probe's tries are as many as `controlPlaneComponentHealthCheck` needs.
_STARTING = {"timeoutSeconds": 60}

_PROBES: dict[str, dict[str, Any]] = {
    "etcd": {"livenessProbe": _PATIENT, "readinessProbe": _SELDOM_ASKED, "startupProbe": _STARTING},
    "kube-apiserver": {"livenessProbe": _PATIENT, "readinessProbe": _SELDOM_ASKED, "startupProbe": _STARTING},
    "kube-controller-manager": {"livenessProbe": _PATIENT, "startupProbe": _STARTING},
    "kube-scheduler": {"livenessProbe": _PATIENT, "readinessProbe": _SELDOM_ASKED, "startupProbe": _STARTING},
}

#: What probes in the manifest of a pod network have at least. Each of Calico's starts a program of 100 MB. With
#: upstream's ten seconds for that, and 70 until it is alive, kubelets stopped calico-node before it was up: after 96.
_NETWORK_PROBES: dict[str, dict[str, int]] = {
    "livenessProbe": _PATIENT,
    "readinessProbe": {"timeoutSeconds": 60, "periodSeconds": 30},
    "startupProbe": _STARTING,
}

#: Shares of the processor where there is not enough, no more in all than kubeadm's own: what the others wait for comes
#: first. A starved API server ends TLS handshakes later than its clients wait, and they begin others.
_PROCESSOR_SHARES = {
    "etcd": "150m",
    "kube-apiserver": "450m",
    "kube-controller-manager": "30m",
    "kube-scheduler": "20m",
}


def has_plain_init(kubernetes_version: str) -> bool:
    """Whether `kubeadm init` is run as upstream has it: one command that leaves no component out."""
    return kubernetes_minor(kubernetes_version) >= _WAITS_FOR_ALL


def render_patches(kubernetes_version: str) -> dict[str, str]:
    """Text by file name below `PATCHES_DIR`: kubeadm's patches of its static pods, for versions with a plain init."""
    if not has_plain_init(kubernetes_version):
        return {}
    pods = {component: dump_yaml_all([{"spec": _static_pod(component)}]) for component in _PROBES}
    # A second CoreDNS would be on the same node: workers join later.
    pods["corednsdeployment"] = dump_yaml_all([{"spec": {"replicas": 1, "template": {"spec": _coredns_pod()}}}])
    return {f"{target}+strategic.yaml": text for target, text in pods.items()}


def _static_pod(component: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": _PROCESSOR_SHARES[component]}}
    return {"containers": [{"name": component, "env": GO_VARIABLES, "resources": resources, **_PROBES[component]}]}


def _coredns_pod() -> dict[str, Any]:
    return {"containers": [{"name": "coredns", "env": GO_VARIABLES}]}


def patch_network(patch: ManifestPatch) -> None:
    """Gives the containers of a pod network's manifest patient probes and one Go thread, as kubeadm's pods have."""
    patch.raise_probes(_NETWORK_PROBES)
    patch.add_variables(GO_ENVIRONMENT)


def kubelet_periods(kubernetes_version: str) -> dict[str, str]:
    """Keys of the kubelet's configuration: Kubernetes' own periods, stretched."""
    return _STATUS_PERIODS if has_plain_init(kubernetes_version) else {**_STATUS_PERIODS, **_SYNC_PERIODS}


def kubelet_flags(kubernetes_version: str) -> dict[str, str]:
    return _HOUSEKEEPING_FLAGS if has_plain_init(kubernetes_version) else {**_HOUSEKEEPING_FLAGS, **_CGROUP_FLAGS}


def api_server_arguments(kubernetes_version: str) -> dict[str, str]:
    """Without API Priority and Fairness where it keeps histograms by the millisecond (1.20 to 1.25).

    Every millisecond of every priority level is one observation, whether anything happened or not: in emulated guests
    that was measured to take more than half of the API server's time.
    """
    counts_milliseconds = (1, 20) <= kubernetes_minor(kubernetes_version) < (1, 26)
    if counts_milliseconds:
        return {"feature-gates": "APIPriorityAndFairness=false"}
    return {**_NO_ETCD_METRICS, **_ETCD_AWAITED} if has_plain_init(kubernetes_version) else {}


def etcd_arguments(kubernetes_version: str) -> dict[str, str]:
    """Without waiting for the disk where etcd can: since 3.4.4, and kubeadm brings 3.4.9 or later since 1.19."""
    minor = kubernetes_minor(kubernetes_version)
    return {
        **_ETCD_PERIODS,
        **({"unsafe-no-fsync": "true"} if minor >= (1, 19) else {}),
        **(_SELDOM_SAID if minor >= _ETCD_3_6 else {}),
    }


def cheap_keys(kubernetes_version: str, api: str) -> dict[str, Any]:
    """P-256 for the cluster's keys, where kubeadm can: an RSA key takes an emulated guest seconds."""
    if api == "v1beta4":
        return {"encryptionAlgorithm": "ECDSA-P256"}
    return {"featureGates": {"PublicKeysECDSA": True}} if kubernetes_minor(kubernetes_version) >= (1, 19) else {}
