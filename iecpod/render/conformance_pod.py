"""Upstream's image of its end-to-end tests as objects, after its own test/conformance/image/conformance-e2e.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iecpod.yaml.document import dump_yaml_all

#: What is not in a namespace: the tests are the cluster's administrator.
BINDING = "iecpod-conformance"
TESTS = "tests"
READER = "reader"
RESULTS = "/tmp/results"

_ACCOUNT = "tests"


def render_conformance_namespace(namespace: str, label: str) -> str:
    """With an account for the tests. `label` is that of the namespaces that the tests make: it goes with those."""
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {label: "iecpod"}}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _ACCOUNT, "namespace": namespace}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": BINDING},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": namespace}],
        },
    ]
    return dump_yaml_all(objects)


def render_conformance_pod(
    namespace: str, name: str, image: str, reader_image: str, environment: Mapping[str, str]
) -> str:
    """A pod whose second container outlives the tests, so that their results can be read."""
    mounts = [{"name": "results", "mountPath": RESULTS}]
    variables = {**environment, "KUBECONFIG": "", "RESULTS_DIR": RESULTS}
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "serviceAccountName": _ACCOUNT,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": TESTS,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "env": [{"name": key, "value": value} for key, value in sorted(variables.items())],
                    "volumeMounts": mounts,
                },
                {
                    "name": READER,
                    "image": reader_image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "infinity"],
                    "volumeMounts": mounts,
                },
            ],
            "volumes": [{"name": "results", "emptyDir": {}}],
        },
    }
    return dump_yaml_all([pod])
