"""The POD's cluster as one that Calico is to carry: made as a deploy makes it, and taken back without a trace."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import iecpod as package
from iecpod.commands.deploy import phase_tools
from iecpod.deploy.kubectl.kubectl import SYSTEM_PODS, Kubectl
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.errors import CommandFailed
from iecpod.layout import find_layout
from iecpod.model import PodRef
from iecpod.pods.resolve import resolve_request
from iecpod.ports import Shell
from iecpod.release.mirrors import Supply
from iecpod.render.manifest_patch import ManifestPatch
from iecpod.wait import NotYet, SystemClock, poll
from iecpod.wiring.pod_tools import PodAdapters
from tests.e2e.command import HOSTNAMES, LAB, POD, Iecpod
from tests.e2e.small_lab import ROOT, load_yaml
from tests.fakes import RecordingReporter
from tests.pod_requests import pod_request

UPSTREAM = ROOT.parent / "shared/calico/v3.24.6/calico.yaml"

#: A kubelet that pulls what is not available ends that first.
_REMOVAL_SECONDS = 600.0

#: What the cluster makes for the objects of the manifest.
_FOLLOWERS = (
    "/api/v1/namespaces/kube-system/pods",
    "/api/v1/namespaces/kube-system/secrets",
    "/apis/apps/v1/namespaces/kube-system/replicasets",
    "/apis/apps/v1/namespaces/kube-system/controllerrevisions",
)
_OURS = "labelSelector=k8s-app%20in%20(calico-node,calico-kube-controllers)"
#: The pods at once: they have nothing to save, and their kubelets are slow to confirm an end.
_FOLLOWERS_TO_DELETE = (f"{_FOLLOWERS[2]}?{_OURS}", f"{_FOLLOWERS[0]}?{_OURS}&gracePeriodSeconds=0")

#: Of the administrator, as the kubeconfig has them; in memory, for as long as they are needed.
_CERTIFICATE, _KEY = "/run/iecpod-test-admin.crt", "/run/iecpod-test-admin.key"
#: Ends an answer: no JSON has it.
_END = "\x1e"

#: Many requests over one connection: each kubectl costs an emulated guest seconds.
_CURL = (
    *("curl", "--silent", "--show-error", "--globoff", "--user-agent", "iecpod-test", "--write-out", _END),
    *("--cacert", "/etc/kubernetes/pki/ca.crt", "--cert", _CERTIFICATE, "--key", _KEY),
    *("--header", "Content-Type: application/json"),
)
_NAMES_ONLY = ("--header", "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")

#: What Calico's init containers write.
CNI_STATE = "sha256sum /etc/cni/net.d/*; ls -lL --time-style=full-iso /opt/cni/bin"
#: What a kubelet makes for the pods, and the addresses that were given out.
_KUBELET_STATE = """
ls -d /run/nodeagent /run/calico /var/lib/calico /var/log/calico
ls /var/lib/kubelet/pods
ls /var/lib/cni/networks/iecpod | grep '^[0-9]'
"""
#: Made by the kubelet for a volume of type DirectoryOrCreate.
_NO_NODEAGENT = "cannot access '/run/nodeagent'"
_REMOVE_NODEAGENT = "rmdir /run/nodeagent >/dev/null 2>&1;"


@dataclass
class Calico:
    """The POD's cluster as one that Calico is to carry, and how it was before."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    tools: PhaseTools
    reporter: RecordingReporter
    manifest: PatchedManifest
    objects_before: frozenset[str] = frozenset()
    nodes_before: Mapping[str, str] = field(default_factory=dict)
    removed: bool = False

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.shells[self.cluster.control_plane.hostname])

    def ask(self, *paths: str, method: str = "GET", options: Sequence[str] = (), data: str = "") -> list[Any]:
        """What the API server answers to each path; refusals are answers, too."""
        urls = [f"https://{self.cluster.api_endpoint}{path}" for path in paths]
        sent = ("--data-binary", "@-") if data else ()
        argv = [*_CURL, *options, "--request", method, *sent, *urls]
        answers = self.kubectl.shell.run(argv, stdin=data.encode()).stdout.split(_END)
        return [json.loads(answer) for answer in answers if answer.strip()]

    def sign_in(self, kubeconfig: Path) -> None:
        (user,) = load_yaml(kubeconfig)["users"]
        for path, name in ((_CERTIFICATE, "client-certificate-data"), (_KEY, "client-key-data")):
            self.kubectl.shell.write_file(path, base64.b64decode(user["user"][name]), 0o600)

    def close(self) -> None:
        self.kubectl.shell.run(["rm", "-f", _CERTIFICATE, _KEY])
        for shell in self.shells.values():
            shell.close()

    def remember(self) -> None:
        self.objects_before, self.nodes_before = self._objects(), self.on_nodes(CNI_STATE + _KUBELET_STATE)

    def on_nodes(self, script: str) -> dict[str, str]:
        def run(hostname: str) -> str:
            return self.shells[hostname].run(["sh", "-c", f"({script}) 2>&1"], check=False).stdout

        return run_on_nodes(HOSTNAMES, run)

    def pods(self) -> list[dict[str, Any]]:
        (listing,) = self.ask(f"{SYSTEM_PODS}?{_OURS}")
        items: list[dict[str, Any]] = listing["items"] or []
        return items

    def remove(self) -> None:
        """Everything that the manifest made, and what was made for it."""
        poll("a POD as it was", self._remove, timeout_seconds=_REMOVAL_SECONDS, clock=SystemClock())
        self.removed = True

    def _remove(self) -> None:
        try:
            self.ask(*reversed(self._manifest_paths()), *_FOLLOWERS_TO_DELETE, method="DELETE")
            made = any(_NO_NODEAGENT in state for state in self.nodes_before.values())
            nodes = self.on_nodes((_REMOVE_NODEAGENT if made else "") + CNI_STATE + _KUBELET_STATE)
            objects = self._objects()
        except CommandFailed as error:
            raise NotYet(error.cause) from error
        changed = [f"{name}: {nodes[name]}" for name in HOSTNAMES if nodes[name] != self.nodes_before[name]]
        if changed or objects != self.objects_before:
            raise NotYet("\n".join([*changed, *sorted(objects ^ self.objects_before)]))

    def _manifest_paths(self) -> list[str]:
        text = ManifestText("calico.yaml", self.manifest.text.encode())
        return [_path(found) for found in ManifestPatch.of([text]).objects]

    def _objects(self) -> frozenset[str]:
        """Paths of all objects of the kinds that are concerned."""
        collections = sorted({*_FOLLOWERS, *(path.rpartition("/")[0] for path in self._manifest_paths())})
        listings = self.ask(*collections, options=_NAMES_ONLY)
        return frozenset(
            f"{collection}/{item['metadata']['name']}"
            for collection, listing in zip(collections, listings, strict=True)
            for item in listing["items"] or ()  # null where there is none
        )


def _path(found: Mapping[str, Any]) -> str:
    """Where the API has an object of a manifest."""
    version, metadata = found["apiVersion"], found["metadata"]
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{group}{namespace}/{found['kind'].lower()}s/{metadata['name']}"


def calico_on(pod: Iecpod, ready_seconds: float) -> Calico:
    """As a deploy makes it of the POD's descriptors and options, but for the scenario and an older manifest."""
    layout = find_layout(pod.environ, package_dir=Path(package.__file__).parent, is_root=True)
    reporter = RecordingReporter()
    tools = PodAdapters(layout, PodRef(LAB, POD), reporter, apt_mirror="")
    request = pod_request(
        ref=tools.run.ref,
        scenario="k8-calico-iec-noha",
        supply=Supply(manifests={"calico": str(UPSTREAM)}),
        limits=(("ready", ready_seconds),),
    )
    inputs = resolve_request(request, layout, tools.state.saved())
    assert inputs.order.options.virt_type is not None, "the POD was not deployed"
    provider = tools.nodes.provider(inputs.order.site)
    provider.open(start=False)
    try:
        planned = provider.plan(inputs.order, prove=False, keep_secrets=False)
    finally:
        provider.close()
    cluster, shared = planned.pod.cluster, phase_tools(inputs, tools.run, provider, planned)
    shells = tools.nodes.shells(provider.endpoints(inputs.order))
    calico = Calico(cluster, shells, shared, reporter, tools.software.cni_manifest(cluster))
    calico.sign_in(tools.state.kubeconfig_path)
    return calico
