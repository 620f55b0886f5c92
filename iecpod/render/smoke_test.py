"""The IEC check as objects: nginx, two replicas on different nodes, a NodePort service."""

from __future__ import annotations

from typing import Any

from iecpod.yaml_document import dump_yaml_all

APP = "iecpod-verify-nginx"


def render_nginx(image: str) -> str:
    """A Service and a ReplicationController, as the IEC text has them; replicas must not share a node."""
    labels = {"app": APP}
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": APP, "labels": labels},
        "spec": {
            "type": "NodePort",
            "selector": labels,
            "ports": [{"name": "http", "port": 80, "targetPort": 80, "protocol": "TCP"}],
        },
    }
    spread = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
            ]
        }
    }
    controller: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": APP, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": labels,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "affinity": spread,
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
