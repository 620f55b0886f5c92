"""Calico's upstream manifests for a cluster of ours.

Sources: Calico's pages on calico/node's environment, on MTU and on overlay networking.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from iecpod.cni.calico_etcd import ETCD_PORTS, etcd_cluster_ip, patch_etcd
from iecpod.design.cluster import BGP_PORT, Cni, DesiredCluster, EtcdTlsMaker, NodePort, NodeTraces, Transport
from iecpod.design.etcd_tls import EtcdTls
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.model import Arch
from iecpod.options.choices import Encapsulation
from iecpod.outside_json import Json
from iecpod.release.container_environment import ContainerEnvironment
from iecpod.release.kubernetes_version import kubernetes_minor
from iecpod.release.release import CniSource, Manifest, Release
from iecpod.render.low_overhead import patch_network
from iecpod.render.manifest_patch import ManifestPatch, containers_of, mapping_in

_REMEDY = "pin a calico.yaml of projectcalico/calico; the operator's are for scenarios with calico-operator"
_NODE = "DaemonSet calico-node"
_CONFIG = "ConfigMap calico-config"
_BIRD_PROBES = ("-bird-live", "-bird-ready")
#: The first version that serves policy/v1.
_POLICY_V1 = (1, 21)
_DAEMON_SET = "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"
#: The section of a release that is about Calico, however it is installed.
_SECTION = "calico"
#: IANA's port, which Calico takes for VXLAN, and Felix's own for probes.
_VXLAN = NodePort(transport=Transport.UDP, number=4789)
_HEALTH = NodePort(transport=Transport.TCP, number=9099, for_nodes=False)


class Autodetection(str, enum.Enum):
    """How `calico-node` finds its address on mgmt; `cidr` needs Calico 3.20, `interface` any."""

    CIDR = "cidr"
    INTERFACE = "interface"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalicoSettings:
    """What a release says of Calico, besides its manifests.

    The Tigera operator pulls from `registry` (`HOST` or `HOST/PATH`), or its own where that is empty. With `own_etcd`,
    Calico keeps its data in an etcd of its own, the Service `calico-etcd`. `containers` are not the operator's.
    """

    registry: str = ""
    encapsulation: Encapsulation = Encapsulation.IPIP
    autodetection: Autodetection = Autodetection.CIDR
    own_etcd: bool = False
    containers: tuple[ContainerEnvironment, ...] = ()
    image_names: dict[Arch, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: CniSource) -> CalicoSettings:
        settings = source.settings
        return cls(
            registry=str(settings.get("registry", "")),
            encapsulation=Encapsulation(settings.get("encapsulation", Encapsulation.IPIP.value)),
            autodetection=Autodetection(settings.get("autodetection", Autodetection.CIDR.value)),
            own_etcd=settings.get("own_etcd", False) is True,
            containers=source.containers,
            image_names=source.image_names,
        )


class CalicoRelease(Cni):
    """What Calico is of a release, however it is installed."""

    enforces_policies = True
    daemon = "calico-node"
    traces = NodeTraces(
        devices=("cali*", "vxlan.calico", "vxlan-v6.calico"),
        lasting_devices=("tunl0",),
        rules=("cali-", "cali:"),
        ipsets=("cali*",),
        directories=("/var/lib/calico", "/var/log/calico", "/run/calico"),
    )

    modules = ("ip_set", "ipip", "vxlan")
    #: The key of its manifests in that section.
    manifests_key: str

    def manifests(self, release: Release) -> tuple[Manifest, ...]:
        return release.cni_source(_SECTION).manifests.get(self.manifests_key, ())

    def settings(self, release: Release) -> CalicoSettings:
        return CalicoSettings.of(release.cni_source(_SECTION))

    def ports(self, release: Release) -> tuple[NodePort, ...]:
        """Calico's page on network requirements. Without VXLAN, BGP says which node has which pods."""
        if self.encapsulation(release) is Encapsulation.VXLAN:
            return (_VXLAN, _HEALTH)
        return (NodePort(transport=Transport.TCP, number=BGP_PORT), _HEALTH)

    def kernel_modules(self, release: Release) -> tuple[str, ...]:
        of_other_tunnels = {encapsulation.value for encapsulation in Encapsulation} - {
            (self.encapsulation(release) or Encapsulation.NONE).value
        }
        return tuple(module for module in self.modules if module not in of_other_tunnels)

    def encapsulation(self, release: Release) -> Encapsulation | None:
        return self.settings(release).encapsulation if _SECTION in release.cni_sources else None

    def with_encapsulation(self, release: Release, encapsulation: Encapsulation) -> Release:
        source = release.cni_source(_SECTION)
        settings = {**source.settings, "encapsulation": encapsulation.value}
        return release.with_cni_source(_SECTION, replace(source, settings=settings))


class Calico(CalicoRelease):
    name = "calico"
    summary = "Calico from the pinned upstream manifest"
    manifests_key = "manifests"
    daemon_pods = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcalico-node"

    def ports(self, release: Release) -> tuple[NodePort, ...]:
        ports = super().ports(release)
        has_etcd = _SECTION in release.cni_sources and self.settings(release).own_etcd
        return (*ports, *ETCD_PORTS) if has_etcd else ports

    def render_manifest(
        self, texts: Sequence[ManifestText], cluster: DesiredCluster, make_etcd_tls: EtcdTlsMaker
    ) -> PatchedManifest:
        address = etcd_cluster_ip(cluster.service_cidr)
        return patch_calico_manifest(texts, cluster, self.settings(cluster.release), lambda: make_etcd_tls(address))

    def find_applied(self, cluster: DesiredCluster, find: Callable[[str], Json | None]) -> str | None:
        found = find(_DAEMON_SET)
        if found is None:
            return None
        environment = {
            variable.text("name"): variable.text("value", "")
            for container in found.at("spec").at("template").at("spec").entries("containers")
            for variable in container.entries("env")
        }
        return "calico-node applied" if environment.get("CALICO_IPV4POOL_CIDR") == str(cluster.pod_cidr) else None


def patch_calico_manifest(
    manifests: Sequence[ManifestText],
    cluster: DesiredCluster,
    calico: CalicoSettings,
    make_etcd_tls: Callable[[], EtcdTls],
) -> PatchedManifest:
    """Sets pool, encapsulation, MTU, address autodetection and what else the cluster's versions ask for.

    Autodetection left at `first-found` takes any NIC of a node that has four (IEC text, "BGP not established").
    `make_etcd_tls` is asked where Calico has an etcd of its own. Raises `DescriptorError` with everything that the
    manifests lack.
    """
    patch = ManifestPatch.of(manifests, rule="calico-manifest", remedy=_REMEDY)
    _patch_node(patch, cluster, calico)
    _patch_config(patch, cluster, calico)
    if calico.own_etcd:
        patch_etcd(patch, cluster, make_etcd_tls())
    if cluster.low_overhead:
        patch_network(patch)
    patch.set_environments((*calico.containers, *cluster.release.manifest_patch))
    patch.rename_images(calico.image_names.get(cluster.arch, {}))
    if cluster.release.needs_no_network:
        patch.use_given_images()
    if kubernetes_minor(cluster.release.kubernetes_version) < _POLICY_V1:
        _use_old_policy(patch)
    return patch.result("the Calico manifest cannot be patched")


def _patch_node(patch: ManifestPatch, cluster: DesiredCluster, calico: CalicoSettings) -> None:
    container = _node_container(patch)
    if container is None:
        return
    encapsulation = calico.encapsulation
    added = {
        "CALICO_IPV4POOL_CIDR": str(cluster.pod_cidr),
        "IP_AUTODETECTION_METHOD": _autodetection(cluster, calico),
    }
    for name, value in added.items():
        patch.set_environment(_NODE, container, name, value, add=True)
    ipip = "Always" if encapsulation is Encapsulation.IPIP else "Never"
    patch.set_environment(_NODE, container, "CALICO_IPV4POOL_IPIP", ipip, add=False)
    knows_vxlan = any(variable.get("name") == "CALICO_IPV4POOL_VXLAN" for variable in container["env"])
    if knows_vxlan or encapsulation is Encapsulation.VXLAN:
        vxlan = "Always" if encapsulation is Encapsulation.VXLAN else "Never"
        patch.set_environment(_NODE, container, "CALICO_IPV4POOL_VXLAN", vxlan, add=False)
    if encapsulation is Encapsulation.VXLAN:
        _remove_bird_probes(patch, container)


def _node_container(patch: ManifestPatch) -> dict[str, Any] | None:
    daemon_set = patch.find("DaemonSet", "calico-node")
    if daemon_set is None:
        return None
    for container in containers_of(daemon_set):
        if container.get("name") == "calico-node":
            return container
    patch.miss(f"container `calico-node` in {_NODE}")
    return None


def _autodetection(cluster: DesiredCluster, calico: CalicoSettings) -> str:
    if calico.autodetection is Autodetection.CIDR:
        return f"cidr={cluster.mgmt_cidr}"
    return "interface=" + ",".join(dict.fromkeys(node.mgmt_device for node in cluster.nodes))


def _remove_bird_probes(patch: ManifestPatch, container: dict[str, Any]) -> None:
    """With VXLAN no BIRD runs, and what asks for it would never be content."""
    probed = [mapping_in(container, probe, "exec").get("command") for probe in ("livenessProbe", "readinessProbe")]
    commands = [command for command in probed if isinstance(command, list)]
    for argument in _BIRD_PROBES:
        command = next((command for command in commands if argument in command), None)
        if command is None:
            patch.miss(f"probe `{argument}` in {_NODE}")
        else:
            command.remove(argument)
            patch.changes.append(f"{_NODE}: probe {argument} removed")


def _patch_config(patch: ManifestPatch, cluster: DesiredCluster, calico: CalicoSettings) -> None:
    config = patch.find("ConfigMap", "calico-config")
    if config is None:
        return
    data = mapping_in(config, "data")
    backend = "vxlan" if calico.encapsulation is Encapsulation.VXLAN else "bird"
    patch.set_key(_CONFIG, data, "calico_backend", backend)
    patch.set_key(_CONFIG, data, "veth_mtu", str(cluster.mgmt_mtu - calico.encapsulation.overhead_bytes))


def _use_old_policy(patch: ManifestPatch) -> None:
    """API servers before 1.21 refuse policy/v1; the older version of the same object says the same."""
    for found in patch.objects:
        if (found.get("kind"), found.get("apiVersion")) == ("PodDisruptionBudget", "policy/v1"):
            place = f"PodDisruptionBudget {mapping_in(found, 'metadata').get('name')}"
            patch.set_key(place, found, "apiVersion", "policy/v1beta1")


CALICO = Calico()
