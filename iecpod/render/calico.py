"""The upstream Calico manifest, changed as YAML: a change whose place is not there is an error, never a no-op."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import DescriptorError, Problem
from iecpod.yaml_document import dump_yaml_all, load_yaml_all


@dataclass(frozen=True, slots=True)
class PatchedManifest:
    """The manifest as it is to be applied, and one line for people for each thing changed."""

    text: str
    changes: tuple[str, ...]


def patch_calico_manifest(manifest: bytes, cluster: DesiredCluster, file: str) -> PatchedManifest:
    """Sets the pool to the pod CIDR and the address autodetection to mgmt in DaemonSet `calico-node`.

    Autodetection left at `first-found` takes any NIC of a node that has four (IEC text, "BGP not established").
    Raises `DescriptorError` where the manifest has no such container.
    """
    documents = [document.data for document in load_yaml_all(manifest, file) if document.data is not None]
    containers = list(_node_containers(documents))
    if not containers:
        raise DescriptorError(
            [
                Problem(
                    file=file,
                    message="the manifest has no container `calico-node` in a DaemonSet `calico-node`",
                    remedy="pin a calico.yaml of projectcalico/calico; the operator's manifests are something else",
                    rule="calico-manifest",
                )
            ],
            "the Calico manifest cannot be patched",
        )
    wanted = {
        "CALICO_IPV4POOL_CIDR": str(cluster.pod_cidr),
        "IP_AUTODETECTION_METHOD": f"cidr={cluster.mgmt_cidr}",
    }
    changes = [
        f"DaemonSet calico-node: {change}"
        for container in containers
        for name, value in wanted.items()
        for change in _set_environment(container, name, value)
    ]
    return PatchedManifest(dump_yaml_all(documents), tuple(changes))


def _node_containers(documents: list[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        if document.get("kind") == "DaemonSet" and document["metadata"]["name"] == "calico-node":
            for container in document["spec"]["template"]["spec"]["containers"]:
                if container["name"] == "calico-node":
                    yield container


def _set_environment(container: dict[str, Any], name: str, value: str) -> Iterator[str]:
    environment = container.setdefault("env", [])
    for variable in environment:
        if variable["name"] == name:
            if variable.get("value") != value:
                yield f"{name}: {variable.get('value', '(from elsewhere)')} -> {value}"
                variable.pop("valueFrom", None)
                variable["value"] = value
            return
    environment.append({"name": name, "value": value})
    yield f"{name}: (unset) -> {value}"
