"""The IEC check as objects: nginx, two replicas, a NodePort service; and network policies for them."""

from __future__ import annotations

from typing import Any

from iecpod.yaml.document import dump_yaml_all

APP = "iecpod-verify-nginx"
_LABELS = {"app": APP}
_DENIAL, _PERMISSION = f"{APP}-deny", f"{APP}-allow"
#: Names of the network policies.
POLICIES = (_DENIAL, _PERMISSION)


def render_nginx(image: str, *, spread: bool) -> str:
    """A Service and a ReplicationController, as the IEC text has them. With `spread`, no two replicas share a node."""
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": APP, "labels": _LABELS},
        "spec": {
            "type": "NodePort",
            "selector": _LABELS,
            "ports": [{"name": "http", "port": 80, "targetPort": 80, "protocol": "TCP"}],
        },
    }
    apart = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": _LABELS}}
            ]
        }
    }
    controller: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": APP, "labels": _LABELS},
        "spec": {
            "replicas": 2,
            "selector": _LABELS,
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {
                    **({"affinity": apart} if spread else {}),
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "nginx",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "ports": [{"containerPort": 80}],
                        }
                    ],
                },
            },
        },
    }
    return dump_yaml_all([service, controller])


def render_denial() -> str:
    """Nothing reaches nginx any more."""
    return _policy(_DENIAL, [])


def render_permission() -> str:
    """nginx reaches nginx, whatever else is denied."""
    return _policy(_PERMISSION, [{"from": [{"podSelector": {"matchLabels": _LABELS}}]}])


def _policy(name: str, ingress: list[dict[str, Any]]) -> str:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": _LABELS},
        "spec": {"podSelector": {"matchLabels": _LABELS}, "policyTypes": ["Ingress"], "ingress": ingress},
    }
    return dump_yaml_all([policy])
