"""Calico's upstream manifest on the living cluster, by the phases that a deploy runs: patched, applied, read back, and
missing its images within the deadline.

None of it ever runs, since the POD reaches no registry: the bridge stays its network. The last test takes everything
away again, and the fixture does where another one failed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

import iecpod as package
from iecpod.commands.prepare import new_stamp, prepare
from iecpod.commands.request import PodRequest
from iecpod.commands.resolve import resolve_request
from iecpod.design.cluster import DesiredCluster
from iecpod.design.pace import pace_of
from iecpod.design.supply import Supply
from iecpod.errors import CommandFailed, ExitCode, WaitTimeout
from iecpod.layout import find_layout
from iecpod.model import PodRef
from iecpod.phases.cni import CalicoPhase
from iecpod.phases.k8s_pods import is_running, pod_state
from iecpod.phases.kubectl import SYSTEM_PODS, UNCHECKED, Kubectl
from iecpod.phases.parallel import run_on_nodes
from iecpod.phases.ready import ReadyPhase
from iecpod.pod_adapters import PodAdapters
from iecpod.ports import Shell
from iecpod.render.manifest import PatchedManifest
from iecpod.wait import NotYet, SystemClock, poll
from iecpod.watch import Watch
from iecpod.workflow import PhaseFailed, run_phases
from iecpod.yaml_document import load_yaml_all
from tests.e2e.conftest import HOSTNAMES, LAB, POD, Iecpod
from tests.fakes import RecordingReporter

ROOT = Path(__file__).parents[2]
UPSTREAM = ROOT.parent / "shared/calico/v3.24.6/calico.yaml"

#: What debian12 lacks to carry Calico. No digest is needed, since a file stands in for the URL.
CALICO = """\
cnis: [bridge, calico]
calico:
  encapsulation: vxlan
  manifests:
    - name: calico
      url: https://raw.githubusercontent.com/projectcalico/calico/v3.24.6/manifests/calico.yaml
"""

#: The time of the whole phase: some looks of an emulated guest.
READY_SECONDS = 12.0
#: What follows a deadline: the look that was under way, and the one at all pods of kube-system.
_LAST_LOOKS_SECONDS = 20.0
#: A name lookup that nobody answers is tried for a while.
_PULL_SECONDS = 180.0
_REMOVAL_SECONDS = 120.0

_KINDS = (
    "crd,clusterrole,clusterrolebinding,serviceaccount,configmap,secret,poddisruptionbudget,"
    "daemonset,controllerrevision,deployment,replicaset,pod"
)
#: What Calico's init containers write.
_CNI_STATE = "sha256sum /etc/cni/net.d/*; ls -lL --time-style=full-iso /opt/cni/bin"
#: What a kubelet makes for the pods, and the addresses that were given out.
_KUBELET_STATE = """
ls -d /run/nodeagent /run/calico /var/lib/calico /var/log/calico
ls /var/lib/kubelet/pods
ls /var/lib/cni/networks/iecpod | grep '^[0-9]'
"""


@dataclass
class Calico:
    """The POD's cluster as one that Calico is to carry, and how it was before."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    watch: Watch
    reporter: RecordingReporter
    manifest: PatchedManifest
    objects_before: frozenset[str] = frozenset()
    nodes_before: Mapping[str, str] = field(default_factory=dict)
    removed: bool = False

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.shells[self.cluster.control_plane.hostname])

    def remember(self) -> None:
        self.objects_before, self.nodes_before = self._objects(), self.on_nodes(_CNI_STATE + _KUBELET_STATE)

    def on_nodes(self, script: str) -> dict[str, str]:
        def run(hostname: str) -> str:
            return self.shells[hostname].run(["sh", "-c", f"({script}) 2>&1"], check=False).stdout

        return run_on_nodes(HOSTNAMES, run)

    def pods(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.kubectl.load(SYSTEM_PODS)["items"]
        return [pod for pod in items if pod["metadata"]["name"].startswith("calico-")]

    def remove(self) -> None:
        """Everything that the manifest made, and what nodes made for it."""
        clock = SystemClock()
        poll("Calico deleted", self._delete, timeout_seconds=_REMOVAL_SECONDS, clock=clock)
        if any("cannot access '/run/nodeagent'" in state for state in self.nodes_before.values()):
            self.on_nodes("rmdir /run/nodeagent")  # the kubelet's, for a volume of type DirectoryOrCreate
        poll("a POD as it was", self._check_as_before, timeout_seconds=_REMOVAL_SECONDS, clock=clock)
        self.removed = True

    def _delete(self) -> None:
        """Pods last and at once: they have nothing to save, and their kubelets are slow to confirm an end."""
        ours = ("--namespace=kube-system", "--selector=k8s-app in (calico-node,calico-kube-controllers)")
        try:
            self.kubectl.run(
                *("delete", "--filename=-", "--ignore-not-found", "--wait=false"), stdin=self.manifest.text
            )
            self.kubectl.run("delete", "replicasets,pods", *ours, "--ignore-not-found", "--grace-period=0", "--force")
        except CommandFailed as error:
            raise NotYet(error.cause) from error

    def _objects(self) -> frozenset[str]:
        return frozenset(self.kubectl.run("get", _KINDS, "--all-namespaces", "--output=name").stdout.split())

    def _check_as_before(self) -> None:
        nodes = self.on_nodes(_CNI_STATE + _KUBELET_STATE)
        changed = [f"{name}: {nodes[name]}" for name in HOSTNAMES if nodes[name] != self.nodes_before[name]]
        if changed:
            raise NotYet("\n".join(changed))
        if differing := self._objects() ^ self.objects_before:
            raise NotYet(", ".join(sorted(differing)))


def _write_release(directory: Path) -> Path:
    text = (ROOT / "iecpod/releases/debian12.yaml").read_text()
    assert text.count("cnis: [bridge]\n") == 1
    path = directory / "release.yaml"
    path.write_text(text.replace("cnis: [bridge]\n", CALICO))
    return path


def _calico_on(pod: Iecpod, directory: Path) -> Calico:
    """As a deploy makes it of the POD's descriptors and options, but for scenario and release."""
    layout = find_layout(pod.environ, package_dir=Path(package.__file__).parent, is_root=True)
    reporter = RecordingReporter()
    tools = PodAdapters(layout, PodRef(LAB, POD), reporter, apt_mirror="")
    request = PodRequest(
        ref=tools.ref,
        scenario="k8-calico-iec-noha",
        release=str(_write_release(directory)),
        supply=Supply(manifests={"calico": str(UPSTREAM)}),
        limits=(("ready", READY_SECONDS),),
    )
    inputs = resolve_request(request, layout, tools.recall())
    virt_type = inputs.virt_type
    assert virt_type is not None, "the POD was not deployed"
    host = tools.host(inputs.uri)
    hypervisor = host.connect()
    try:
        prepared = prepare(
            *(inputs, tools, hypervisor, lambda _arch: ""),
            virt_type=virt_type,
            stamp=new_stamp(tools),
            keep_secrets=False,
        )
    finally:
        hypervisor.close()
    cluster = prepared.pod.cluster
    consoles = {domain.hostname: domain.console_log for domain in prepared.pod.domains}
    watch = Watch(
        *(request.command, pace_of(virt_type), tools.clock, reporter),
        lambda node: tools.read_console(consoles[node]),
        dict(request.limits),
    )
    return Calico(cluster, tools.shells(host, cluster), watch, reporter, tools.cni_manifest(cluster))


@pytest.fixture(scope="module")
def calico(pod: Iecpod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calico]:
    if not UPSTREAM.exists():
        pytest.skip("Calico's manifests are not on this machine")
    made = _calico_on(pod, tmp_path_factory.mktemp("calico"))
    made.remember()
    try:
        yield made
    finally:
        if not made.removed:
            made.remove()
        for shell in made.shells.values():
            shell.close()


def test_this_cluster_refuses_the_budget_that_upstream_has(calico: Calico) -> None:
    documents = load_yaml_all(UPSTREAM.read_bytes(), "calico.yaml")
    (budget,) = (found.data for found in documents if found.data["kind"] == "PodDisruptionBudget")
    with pytest.raises(CommandFailed) as caught:
        calico.kubectl.run(
            *("apply", UNCHECKED, "--openapi-patch=false", "--dry-run=server", "--filename=-"),
            stdin=json.dumps(budget),
        )
    assert '"PodDisruptionBudget" in version "policy/v1"' in caught.value.tail


def test_the_patched_manifest_is_taken_whole_and_its_changes_are_told(calico: Calico) -> None:
    phase = CalicoPhase(calico.cluster, calico.kubectl.shell, lambda: calico.manifest, calico.watch)
    (result,) = run_phases([phase], calico.watch)
    assert (result.outcome, result.detail) == ("done", "calico-node applied")
    assert "PodDisruptionBudget calico-kube-controllers: apiVersion: policy/v1 -> policy/v1beta1" in (
        calico.reporter.lines
    )
    names = ("daemonset/calico-node", "configmap/calico-config", "poddisruptionbudget/calico-kube-controllers")
    told = calico.kubectl.run("get", "--namespace=kube-system", *names, "--output=json").stdout
    daemon_set, config, budget = json.loads(told)["items"]
    (container,) = daemon_set["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["CALICO_IPV4POOL_CIDR"] == str(calico.cluster.pod_cidr) == "100.100.0.0/16"
    assert environment["IP_AUTODETECTION_METHOD"] == "cidr=172.16.10.0/24"
    assert (environment["CALICO_IPV4POOL_VXLAN"], environment["CALICO_IPV4POOL_IPIP"]) == ("Always", "Never")
    assert (config["data"]["veth_mtu"], config["data"]["calico_backend"]) == ("1450", "vxlan")
    assert budget["spec"]["maxUnavailable"] == 1


def _wait_for_failed_pulls(calico: Calico) -> None:
    """On each node; the time of the deploy's wait begins afterwards, so it can be short."""

    def probe() -> None:
        try:
            states = [pod_state(pod) for pod in calico.pods()]
        except CommandFailed as error:
            raise NotYet(error.cause) from error
        if sum("ErrImagePull" in state or "ImagePullBackOff" in state for state in states) < len(HOSTNAMES) + 1:
            raise NotYet("; ".join(states))

    poll("images that cannot be pulled", probe, timeout_seconds=_PULL_SECONDS, clock=SystemClock())


def test_the_wait_ends_in_time_and_names_pods_and_images(calico: Calico) -> None:
    _wait_for_failed_pulls(calico)
    start = time.monotonic()
    with pytest.raises(PhaseFailed) as caught:
        run_phases([ReadyPhase(calico.cluster, calico.shells, calico.watch)], calico.watch)
    seconds = time.monotonic() - start
    error = caught.value.error
    assert isinstance(error, WaitTimeout) and error.exit_code is ExitCode.TIMEOUT
    assert READY_SECONDS - 1 <= seconds < READY_SECONDS + _LAST_LOOKS_SECONDS
    for hostname in HOSTNAMES:
        pulled = r"calico-node-\w{5}: ErrImagePull docker\.io/calico/cni:v3\.24\.\d"
        assert re.search(rf"{hostname} has no pod network: {pulled}(;|$)", error.cause), error.cause
    controllers = r"calico-kube-controllers-[\w-]+: \w+ docker\.io/calico/kube-controllers:v3\.24\.\d"
    assert re.search(rf"^    {controllers}$", error.evidence, re.MULTILINE), error.evidence
    (result,) = caught.value.results
    assert {node.node for node in result.nodes if node.failure is not None} == set(HOSTNAMES)


def test_nothing_of_it_has_run(calico: Calico) -> None:
    for pod in calico.pods():
        status = pod["status"]
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            assert set(container["state"]) == {"waiting"} and container["lastState"] == {}, container
    for hostname, state in calico.on_nodes(_CNI_STATE).items():
        assert "10-iecpod.conflist" in state and calico.nodes_before[hostname].startswith(state)


def test_the_pod_is_as_it_was_and_makes_pods(pod: Iecpod, calico: Calico) -> None:
    calico.remove()
    status = json.loads(pod.check("status", "--output", "json"))
    assert (status["state"], status["cluster"]["cni"], status["cluster"]["verified"]) == ("ready", "bridge", True)
    node, name = calico.cluster.workers[0], "iecpod-test-pause"
    container = {"name": "pause", "image": calico.cluster.release.pause_image}
    spec = {"nodeName": node.hostname, "containers": [container]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}

    def probe() -> str:
        made = calico.kubectl.load(f"/api/v1/namespaces/default/pods/{name}")
        if not is_running(made):
            raise NotYet(pod_state(made))
        return str(made["status"]["podIP"])

    try:
        calico.kubectl.apply(json.dumps(manifest))
        address = poll("a pod on the bridge", probe, timeout_seconds=60.0, clock=SystemClock())
        assert ip_address(address) in node.pod_cidr
    finally:
        calico.kubectl.run("delete", "pod", name, "--ignore-not-found", "--grace-period=0", "--force")
