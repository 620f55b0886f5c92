"""kube-router for a cluster of ours: routes to the pods of other nodes, and network policies; kube-proxy stays.

Sources: kube-router's user guide on its options, its page on kubeadm, and its manifest `kubeadm-kuberouter.yaml`, in
version 2.1. Its CNI file is written by iecpod as for `bridge`, so its image needs no shell and the pod no init
container: `--enable-cni=false` leaves the file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from iecpod.cni.bridge import CONFLIST_PATH, render_conflist
from iecpod.design.cluster import (
    BGP_PORT,
    ClusterNode,
    Cni,
    DesiredCluster,
    EtcdTlsMaker,
    NodeCidrs,
    NodePort,
    NodeTraces,
    Transport,
)
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.outside_json import Json
from iecpod.release.release import Release
from iecpod.render.low_overhead import GO_VARIABLES
from iecpod.render.manifest_patch import ManifestPatch

NAME = "kube-router"
_NAMESPACE = "kube-system"
_LABELS = {"k8s-app": NAME}
#: kube-router makes it and writes rules for it; the name is fixed.
_BRIDGE = "kube-bridge"
_HEALTH_PORT = 20244
#: kube-proxy takes seconds from its start to its rules, and an emulated guest half a minute.
_RULES_SECONDS = 60
#: GoBGP's gRPC API, where kube-router 2.1 lets everyone change routes and peers.
_BGP_API_PORT = 50051

#: For routes and rules, for ipset's and iptables' sockets, and for BGP's port.
CAPABILITIES = ("NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE")

#: Shell: one program a minute while all is well.
_RENEW_RULES = (
    f"while sleep {_RULES_SECONDS}; do "
    "iptables -w -t nat -S KUBE-SERVICES >/dev/null 2>&1 || iptables -w -t mangle -X KUBE-PROXY-CANARY 2>/dev/null; "
    "done"
)

GUARD_UNIT = "iecpod-kube-router-guard.service"

#: Left on while a busy or emulated node answers slowly: two minutes of silence.
_PROBE = {
    "httpGet": {"path": "/healthz", "port": _HEALTH_PORT},
    "initialDelaySeconds": 10,
    "periodSeconds": 20,
    "timeoutSeconds": 15,
    "failureThreshold": 6,
}


class KubeRouter(Cni):
    """Files and Nodes of the workers are there before they join, so kube-router comes up on them at once."""

    name = NAME
    summary = "kube-router: routes to the pods of other nodes, network policies"
    node_cidrs = NodeCidrs.REGISTERED
    enforces_policies = True
    routes_directly = True
    learns_routes = True
    node_unit = GUARD_UNIT
    traces = NodeTraces(
        devices=(_BRIDGE,),
        rules=("kube-router", f"DROP.*{_BGP_API_PORT}", f"{_BGP_API_PORT}.*DROP"),
        ipsets=("kube-router-*", "inet6:kube-router-*"),
    )
    modules = ("ip_set",)
    daemon = NAME
    daemon_pods = f"/api/v1/namespaces/{_NAMESPACE}/pods?labelSelector=k8s-app%3D{NAME}"

    def ports(self, release: Release) -> tuple[NodePort, ...]:
        return (
            NodePort(transport=Transport.TCP, number=BGP_PORT),
            NodePort(transport=Transport.TCP, number=_HEALTH_PORT, for_nodes=False),
            NodePort(transport=Transport.TCP, number=_BGP_API_PORT, for_nodes=False),
        )

    def node_files(self, cluster: DesiredCluster, node: ClusterNode) -> dict[str, str]:
        return {
            self.node_unit_path: _render_guard(node),
            CONFLIST_PATH: render_conflist(cluster, node, bridge=_BRIDGE),
        }

    def render_manifest(
        self, texts: Sequence[ManifestText], cluster: DesiredCluster, make_etcd_tls: EtcdTlsMaker
    ) -> PatchedManifest:
        return render_kube_router(cluster)

    def find_applied(self, cluster: DesiredCluster, find: Callable[[str], Json | None]) -> str | None:
        found = find(f"/apis/apps/v1/namespaces/{_NAMESPACE}/daemonsets/{NAME}")
        if found is None:
            return None
        wanted = [(cluster.release.kube_router_image, list(render_arguments(cluster)))]
        containers = found.at("spec").at("template").at("spec").entries("containers")
        seen = [(one.text("image"), [word.as_text() for word in one.entries("args")]) for one in containers]
        return "kube-router applied" if seen == wanted else None


def render_kube_router(cluster: DesiredCluster) -> PatchedManifest:
    """All objects of kube-router, for a release that has its image. Raises `DescriptorError` as manifests do."""
    objects = [_service_account(), _cluster_role(), _cluster_role_binding(), render_daemon_set(cluster)]
    patch = ManifestPatch("kube-router (iecpod's own)", objects, rule="manifest-patch", remedy="")
    patch.set_environments(cluster.release.manifest_patch)
    return patch.result("the manifest of kube-router cannot be patched")


def render_daemon_set(cluster: DesiredCluster) -> dict[str, Any]:
    pod = {
        "priorityClassName": "system-node-critical",
        "serviceAccountName": NAME,
        "hostNetwork": True,
        # Without the network that it makes there is no other pod to wait for.
        "tolerations": [
            {"operator": "Exists", "effect": "NoSchedule"},
            {"operator": "Exists", "effect": "NoExecute"},
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
        ],
        "containers": [_container(cluster)],
        "volumes": [
            {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": _NAMESPACE, "labels": _LABELS},
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        },
    }


def render_arguments(cluster: DesiredCluster) -> list[str]:
    """kube-router's options; what is left out is off, or as wanted, by its own defaults."""
    return [
        "--run-router=true",
        "--run-firewall=true",
        "--run-service-proxy=false",
        "--enable-cni=false",
        # All nodes have an address in mgmt: packets need no tunnel.
        "--enable-overlay=false",
        "--bgp-graceful-restart=true",
        # By its default it hears of the pods of a node that was added within five minutes, and until then masquerades
        # what its own pods send there: no policy that names those pods lets them in.
        "--routes-sync-period=1m",
        # Where a node may reach services while policies are in force.
        f"--service-cluster-ip-range={cluster.service_cidr}",
        f"--health-port={_HEALTH_PORT}",
        # It ends when it has not heard of all objects by then.
        "--cache-sync-timeout=5m",
    ]


def _container(cluster: DesiredCluster) -> dict[str, Any]:
    endpoint, _, port = cluster.api_endpoint.rpartition(":")
    return {
        "name": NAME,
        "image": cluster.release.kube_router_image,
        "imagePullPolicy": "IfNotPresent",
        "command": [NAME],
        "args": render_arguments(cluster),
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            # The API server itself: its service answers only when kube-proxy has come up on the node.
            {"name": "KUBERNETES_SERVICE_HOST", "value": endpoint},
            {"name": "KUBERNETES_SERVICE_PORT", "value": port},
            *(GO_VARIABLES if cluster.low_overhead else ()),
        ],
        "livenessProbe": _PROBE,
        "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
        # Upstream's is privileged, for its service proxy. What it would write below /proc/sys, nodes have already.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
        },
        "volumeMounts": [{"name": "xtables-lock", "mountPath": "/run/xtables.lock"}],
    }


def _service_account() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": _NAMESPACE}}


def _cluster_role() -> dict[str, Any]:
    """To read, and nothing else: kube-router writes only for services of type LoadBalancer, which it does not serve."""
    read = ["get", "list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME},
        "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "namespaces", "nodes", "pods", "services"], "verbs": read},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read},
        ],
    }


def _cluster_role_binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": _NAMESPACE}],
    }


def _render_guard(node: ClusterNode) -> str:
    """A unit that drops what comes to GoBGP's API from pods and other machines (GHSA-v5mh-h5hx-7v92).

    In table raw, since rules of kube-router accept packets of pods before later ones of table filter are asked. What
    the node sends to its own address comes in by `lo`.

    It also has kube-proxy write its rules again where they are missing. kube-router writes table filter as it read it
    a moment ago, without the chains that kube-proxy has made meanwhile; kube-proxy's first round of rules then fails,
    and 1.37 tries none again before a Service changes. It does when its canary chain is gone from table mangle, which
    it looks for every 30 seconds.
    """
    rule = f"PREROUTING ! -i lo -d {node.address} -p tcp --dport {_BGP_API_PORT} -j DROP"
    return f"""[Unit]
Description=Close the BGP API of kube-router, and have kube-proxy renew rules that it lost
Before=kubelet.service

[Service]
ExecStartPre=/bin/sh -c 'iptables -w -t raw -C {rule} 2>/dev/null || iptables -w -t raw -A {rule}'
ExecStart=/bin/sh -c '{_RENEW_RULES}'
Restart=always

[Install]
WantedBy=multi-user.target
"""


KUBE_ROUTER = KubeRouter()
