"""flannel's upstream manifest for a cluster of ours.

Sources: flannel's pages on its configuration (`Network`, `--iface`) and on its backends (`Type`, `MTU`).
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from iecpod.design.cluster import Cni, DesiredCluster, EtcdTlsMaker, NodePort, NodeTraces, Transport
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.model import Arch
from iecpod.outside_json import Json, parse_json
from iecpod.release.container_environment import ContainerEnvironment
from iecpod.release.release import CniSource, Manifest, Release
from iecpod.render.low_overhead import patch_network
from iecpod.render.manifest_patch import ManifestPatch

_REMEDY = "pin a kube-flannel.yml of flannel-io/flannel, or give one with --manifest"
CONFIG_NAME = "kube-flannel-cfg"
NETWORK_KEY = "net-conf.json"
_CONTAINER = "kube-flannel"
_INTERFACE_OPTIONS = ("iface", "iface-regex", "iface-can-reach")
#: Nodes may call their devices differently. The kubelet's address of each is on mgmt.
_NODE_ADDRESS = "NODE_IP"
_INTERFACE = f"--iface=$({_NODE_ADDRESS})"
_USUAL_MTU = 1500
#: The port of Linux's own VXLAN, and not IANA's (flannel's page on backends).
_VXLAN = NodePort(transport=Transport.UDP, number=8472)


class FlannelBackend(str, enum.Enum):
    """How flannel carries packets of pods between nodes."""

    VXLAN = "vxlan"
    HOST_GW = "host-gw"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlannelSettings:
    """What a release says of flannel, besides its manifests."""

    backend: FlannelBackend = FlannelBackend.VXLAN
    containers: tuple[ContainerEnvironment, ...] = ()
    image_names: dict[Arch, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: CniSource) -> FlannelSettings:
        backend = FlannelBackend(source.settings.get("backend", FlannelBackend.VXLAN.value))
        return cls(backend=backend, containers=source.containers, image_names=source.image_names)


class Flannel(Cni):
    """It has moved from kube-system to a namespace of its own, so it is looked for in all."""

    name = "flannel"
    summary = "flannel from its upstream manifest"
    daemon = "kube-flannel"
    daemon_pods = "/api/v1/pods?labelSelector=app%3Dflannel"
    namespaces = ("kube-flannel",)
    traces = NodeTraces(devices=("flannel*",), rules=("FLANNEL", "flanneld"), directories=("/run/flannel",))
    modules = ("vxlan",)

    def ports(self, release: Release) -> tuple[NodePort, ...]:
        return (_VXLAN,) if self._backend(release) is FlannelBackend.VXLAN else ()

    def kernel_modules(self, release: Release) -> tuple[str, ...]:
        return self.modules if self._backend(release) is FlannelBackend.VXLAN else ()

    def _backend(self, release: Release) -> FlannelBackend:
        """Of a release without flannel, which is refused elsewhere, the usual one."""
        is_there = self.name in release.cni_sources
        return FlannelSettings.of(release.cni_source(self.name)).backend if is_there else FlannelBackend.VXLAN

    def manifests(self, release: Release) -> tuple[Manifest, ...]:
        return release.cni_source(self.name).manifests.get("manifests", ())

    def render_manifest(
        self, texts: Sequence[ManifestText], cluster: DesiredCluster, make_etcd_tls: EtcdTlsMaker
    ) -> PatchedManifest:
        return patch_flannel_manifest(texts, cluster, FlannelSettings.of(cluster.release.cni_source(self.name)))

    def find_applied(self, cluster: DesiredCluster, find: Callable[[str], Json | None]) -> str | None:
        configs = find(f"/api/v1/configmaps?fieldSelector=metadata.name%3D{CONFIG_NAME}")
        networks = [parse_network(config.value) or {} for config in configs.entries("items")] if configs else []
        if str(cluster.pod_cidr) not in (network.get("Network") for network in networks):
            return None
        daemons = find("/apis/apps/v1/daemonsets?labelSelector=app%3Dflannel")
        return "flannel applied" if daemons and daemons.entries("items") else None


def patch_flannel_manifest(
    manifests: Sequence[ManifestText], cluster: DesiredCluster, flannel: FlannelSettings
) -> PatchedManifest:
    """Sets network, backend, MTU, the interface on mgmt, and names of images.

    flannel left alone uses the NIC with the default route, which is not on mgmt. Raises `DescriptorError` with
    everything that the manifests lack.
    """
    patch = ManifestPatch.of(manifests, rule="flannel-manifest", remedy=_REMEDY)
    _patch_network(patch, cluster, flannel)
    daemons = [(place, container) for place, container in patch.containers() if container.get("name") == _CONTAINER]
    if not daemons:
        patch.miss(f"container `{_CONTAINER}`")
    for place, container in daemons:
        patch.set_reference(place, container, _NODE_ADDRESS, "status.hostIP")
        _choose_interface(patch, place, container)
    if cluster.low_overhead:
        patch_network(patch)
    patch.set_environments((*flannel.containers, *cluster.release.manifest_patch))
    patch.rename_images(flannel.image_names.get(cluster.arch, {}))
    if cluster.release.needs_no_network:
        patch.use_given_images()
    return patch.result("the flannel manifest cannot be patched")


def _patch_network(patch: ManifestPatch, cluster: DesiredCluster, flannel: FlannelSettings) -> None:
    config = patch.find("ConfigMap", CONFIG_NAME)
    if config is None:
        return
    place = f"{NETWORK_KEY} in ConfigMap {CONFIG_NAME}"
    network = parse_network(config)
    if network is None:
        patch.miss(place)
        return
    before = len(patch.changes)
    patch.set_key(place, network, "Network", str(cluster.pod_cidr))
    backend = network.get("Backend")
    if isinstance(backend, dict):
        _patch_backend(patch, f"Backend of {place}", backend, cluster.mgmt_mtu, flannel.backend)
    else:
        patch.miss(f"`Backend` in {place}")
    if len(patch.changes) > before:
        config["data"][NETWORK_KEY] = json.dumps(network, indent=2) + "\n"


def parse_network(config: object) -> dict[str, Any] | None:
    """The network of flannel's ConfigMap; None where it has none."""
    try:
        text = Json(config).at("data").text(NETWORK_KEY)
        network = parse_json(text, ValueError)
        network.members()
    except ValueError:
        return None
    return cast(dict[str, Any], network.value)


def _patch_backend(patch: ManifestPatch, place: str, backend: dict[str, Any], mtu: int, wanted: FlannelBackend) -> None:
    """VXLAN takes its part off the MTU by itself; host-gw knows no MTU and uses the NIC's."""
    patch.set_key(place, backend, "Type", wanted.value)
    if wanted is FlannelBackend.VXLAN and (mtu != _USUAL_MTU or "MTU" in backend):
        patch.set_key(place, backend, "MTU", mtu, add=True)


def _choose_interface(patch: ManifestPatch, place: str, container: dict[str, Any]) -> None:
    kept, removed = _without_interfaces(_texts_in(container, "args"))
    if removed == [_INTERFACE]:
        return
    container["args"] = [*kept, _INTERFACE]
    patch.changes.append(f"{place}: args: {' '.join(removed) or '(unset)'} -> {_INTERFACE}")


def _texts_in(container: dict[str, Any], key: str) -> list[str]:
    values = container.get(key)
    return [str(value) for value in values] if isinstance(values, list) else []


def _without_interfaces(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What does not choose an interface, and what does; Go takes `-name value` for `--name=value`, too."""
    kept: list[str] = []
    removed: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        name, equals, _ = argument.partition("=")
        if name.lstrip("-") not in _INTERFACE_OPTIONS:
            kept.append(argument)
        else:
            removed.append(argument if equals else f"{argument} {next(pending, '')}")
    return kept, removed


FLANNEL = Flannel()
