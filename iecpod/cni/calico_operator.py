"""Calico by the Tigera operator: its manifests as they are, and the Installation that says what it is to make.

Sources: Calico's pages on the operator (Installation reference, customising, MTU, address autodetection). Of upstream's
custom-resources.yaml the Installation makes the pod network, and without the APIServer the operator cannot change
pools; the rest observes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from iecpod.cni.calico import CalicoRelease, CalicoSettings
from iecpod.design.cluster import DesiredCluster, EtcdTlsMaker, NodePort, Transport
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.options.choices import Encapsulation
from iecpod.outside_json import Json
from iecpod.release.release import Release
from iecpod.render.manifest_patch import ManifestPatch
from iecpod.yaml.document import dump_yaml_all

CUSTOM_KINDS = ("installations.operator.tigera.io", "apiservers.operator.tigera.io")
#: The only name that the operator looks at.
INSTALLATION_NAME = "default"
_REMEDY = (
    "pin operator-crds.yaml and tigera-operator.yaml of projectcalico/calico; calico.yaml is for scenarios with calico"
)
_ENCAPSULATIONS = {Encapsulation.IPIP: "IPIP", Encapsulation.VXLAN: "VXLAN", Encapsulation.NONE: "None"}
_INSTALLATION = f"/apis/operator.tigera.io/v1/installations/{INSTALLATION_NAME}"
_DAEMON_SET = "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node"


class CalicoOperator(CalicoRelease):
    name = "calico-operator"
    summary = "Calico by the Tigera operator"
    manifests_key = "operator"
    is_applied_on_server = True
    daemon_pods = "/api/v1/namespaces/calico-system/pods?labelSelector=k8s-app%3Dcalico-node"
    namespaces = ("tigera-operator", "calico-system")
    status_query = ("get", "tigerastatuses")

    def ports(self, release: Release) -> tuple[NodePort, ...]:
        """Typha runs on some nodes, and every node connects to it; the operator chooses which."""
        return (
            *super().ports(release),
            NodePort(transport=Transport.TCP, number=5473),
            NodePort(transport=Transport.TCP, number=9098, for_nodes=False),
        )

    def render_manifest(
        self, texts: Sequence[ManifestText], cluster: DesiredCluster, make_etcd_tls: EtcdTlsMaker
    ) -> PatchedManifest:
        return render_operator(texts, cluster, self.settings(cluster.release))

    def find_applied(self, cluster: DesiredCluster, find: Callable[[str], Json | None]) -> str | None:
        installation = find(_INSTALLATION)
        network = installation.at("spec").get("calicoNetwork") if installation else None
        pools = network.entries("ipPools") if network else ()
        if str(cluster.pod_cidr) not in (pool.text("cidr", "") for pool in pools):
            return None
        return "calico-node made by the operator" if find(_DAEMON_SET) is not None else None


def render_operator(
    manifests: Sequence[ManifestText], cluster: DesiredCluster, calico: CalicoSettings
) -> PatchedManifest:
    """The changes are those of the manifests and every value of the Installation, which is in `custom_resources`.

    Raises `DescriptorError` with everything that the manifests lack.
    """
    patch = ManifestPatch.of(manifests, rule="calico-manifest", remedy=_REMEDY)
    for kind in CUSTOM_KINDS:
        patch.find("CustomResourceDefinition", kind)
    patch.find("Deployment", "tigera-operator")
    patch.set_environments(cluster.release.manifest_patch)
    patch.rename_images(calico.image_names.get(cluster.arch, {}))
    if cluster.release.needs_no_network:
        patch.use_given_images()
    spec = _installation_spec(cluster, calico)
    place = f"Installation {INSTALLATION_NAME}"
    patch.changes += [f"{place}: {path}: (unset) -> {value}" for path, value in _leaves(spec)]
    patch.changes.append(f"APIServer {INSTALLATION_NAME}: (unset) -> added")
    custom_resources = dump_yaml_all([_resource("Installation", spec), _resource("APIServer", {})])
    return patch.result(
        "Calico's operator cannot be installed by these manifests",
        custom_resources=custom_resources,
        custom_kinds=CUSTOM_KINDS,
    )


def _resource(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": INSTALLATION_NAME}
    return {"apiVersion": "operator.tigera.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _installation_spec(cluster: DesiredCluster, calico: CalicoSettings) -> dict[str, Any]:
    encapsulation = calico.encapsulation
    pool = {
        "name": "default-ipv4-ippool",
        "blockSize": 26,
        "cidr": str(cluster.pod_cidr),
        "encapsulation": _ENCAPSULATIONS[encapsulation],
        "natOutgoing": "Enabled",
        "nodeSelector": "all()",
    }
    return {
        **_image_source(calico.registry),
        "calicoNetwork": {
            # Without VXLAN, nodes learn from BGP which of them has which pods.
            "bgp": "Disabled" if encapsulation is Encapsulation.VXLAN else "Enabled",
            "ipPools": [pool],
            "mtu": cluster.mgmt_mtu - encapsulation.overhead_bytes,
            "nodeAddressAutodetectionV4": {"cidrs": [str(cluster.mgmt_cidr)]},
        },
    }


def _image_source(registry: str) -> dict[str, str]:
    """The operator asks for a registry that ends with a slash, and for the path apart."""
    if not registry:
        return {}
    host, _, path = registry.partition("/")
    return {"registry": f"{host}/", **({"imagePath": path} if path else {})}


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


CALICO_OPERATOR = CalicoOperator()
