"""The table of pod networks, against the files that name them; and one that is in no table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from iecpod.cni.registry import ALL_MODULES, ALL_TRACES, CNIS
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.kubectl.network_health import find_pod_faults
from iecpod.deploy.phases.pod_network import PodNetworkPhase
from iecpod.deploy.phases.verify import record_of
from iecpod.descriptors.rules.device_names import MADE_ON_NODES
from iecpod.design.cluster import ClusterNode, Cni, DesiredCluster, EtcdTlsMaker, NodeCidrs, NodeTraces
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.options.choices import Encapsulation
from iecpod.outside_json import Json
from iecpod.release.file import known_releases, load_release
from iecpod.release.release import CniSource, Manifest, Release
from iecpod.release.scenario import Role, load_scenarios
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools
from tests.fakes.probes import IN_PLACE

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "schemas"


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text())["properties"]


def test_schemas_know_the_pod_networks_of_the_table() -> None:
    assert set(schema("scenario")["cni"]["enum"]) == set(CNIS)
    assert set(schema("release")["cnis"]["items"]["enum"]) == set(CNIS)


def test_scenarios_name_each_pod_network() -> None:
    assert {scenario.cni for scenario in load_scenarios(ROOT / "iecpod/scenarios", SCHEMAS)} == set(CNIS)


@pytest.mark.parametrize("name", known_releases(ROOT / "iecpod/releases"))
def test_a_release_has_manifests_for_what_it_can_carry(name: str) -> None:
    release = load_release(name, ROOT / "iecpod/releases", SCHEMAS)
    carried = [manifest for cni in release.cnis for manifest in CNIS[cni].manifests(release)]
    assert {manifest.name for manifest in carried} <= {manifest.name for manifest in release.manifests}
    assert all(CNIS[cni].manifests(release) for cni in release.cnis if cni in release.cni_sources)


def test_what_all_of_them_leave_is_known_once() -> None:
    assert len(set(ALL_TRACES.devices)) == len(ALL_TRACES.devices) >= 6
    assert {"cni0", "kube-bridge", "cali*", "flannel*"} <= set(ALL_TRACES.devices)


def needs(name: str, release_name: str, encapsulation: Encapsulation | None = None) -> tuple[set[str], set[str]]:
    """Ports that other nodes send to, and kernel modules."""
    cni, release = CNIS[name], load_release(release_name, ROOT / "iecpod/releases", SCHEMAS)
    release = cni.with_encapsulation(release, encapsulation) if encapsulation else release
    return {str(port) for port in cni.ports(release) if port.for_nodes}, set(cni.kernel_modules(release))


def test_a_pod_network_names_the_ports_and_modules_of_its_tunnel() -> None:
    assert needs("bridge", "k8s-1.37") == (set(), set())
    assert needs("kube-router", "k8s-1.37-go") == ({"TCP 179"}, {"ip_set"})
    assert needs("flannel", "k8s-1.37") == ({"UDP 8472"}, {"vxlan"})
    assert needs("calico", "k8s-1.37", Encapsulation.IPIP) == ({"TCP 179"}, {"ip_set", "ipip"})
    assert needs("calico", "k8s-1.37", Encapsulation.VXLAN) == ({"UDP 4789"}, {"ip_set", "vxlan"})
    assert needs("calico", "k8s-1.37", Encapsulation.NONE) == ({"TCP 179"}, {"ip_set"})
    assert needs("calico-operator", "k8s-1.37", Encapsulation.VXLAN)[0] == {"UDP 4789", "TCP 5473"}


def test_calicos_own_etcd_is_on_the_control_plane() -> None:
    release = load_release("iec-r1", ROOT / "iecpod/releases", SCHEMAS)
    listed = {(port.number, port.is_on(Role.WORKER)) for port in CNIS["calico"].ports(release)}
    assert {(179, True), (6666, False), (6667, False)} <= listed


def test_modules_of_all_of_them_are_looked_for() -> None:
    assert ALL_MODULES == ("ip_set", "ipip", "vxlan")


@pytest.mark.parametrize("pattern", [*ALL_TRACES.devices, *ALL_TRACES.lasting_devices])
def test_no_nic_may_have_the_name_of_a_device_that_they_make(pattern: str) -> None:
    assert MADE_ON_NODES.fullmatch(pattern.replace("*", ".1"))


class Weave(Cni):
    """A pod network in one class, as a newcomer would add it."""

    name = "weave"
    summary = "a network of a test"
    node_cidrs = NodeCidrs.PLANNED
    enforces_policies = True
    node_unit = "weave.service"
    daemon = "weave-net"
    daemon_pods = "/api/v1/namespaces/kube-system/pods?labelSelector=name%3Dweave"
    traces = NodeTraces(devices=("weave*",))

    def node_files(self, cluster: DesiredCluster, node: ClusterNode) -> dict[str, str]:
        return {self.node_unit_path: f"{node.pod_cidr}\n"}

    def manifests(self, release: Release) -> tuple[Manifest, ...]:
        return release.cni_source(self.name).manifests.get("manifests", ())

    def render_manifest(
        self, texts: Sequence[ManifestText], cluster: DesiredCluster, make_etcd_tls: EtcdTlsMaker
    ) -> PatchedManifest:
        return PatchedManifest(texts[0].content.decode(), ("DaemonSet weave-net: changed",))

    def find_applied(self, cluster: DesiredCluster, find: Callable[[str], Json | None]) -> str | None:
        return "weave applied" if find("/apis/apps/v1/namespaces/kube-system/daemonsets/weave-net") else None


@pytest.fixture
def woven(cluster: DesiredCluster) -> DesiredCluster:
    source = CniSource(manifests={"manifests": (Manifest(name="weave", url="http://x/weave.yaml", sha256="0" * 64),)})
    return dataclasses.replace(cluster, cni=Weave(), release=cluster.release.with_cni_source("weave", source))


def test_one_class_is_all_that_a_pod_network_takes(woven: DesiredCluster) -> None:
    assert [manifest.name for manifest in woven.cni.manifests(woven.release)] == ["weave"]
    reporter = RecordingReporter()
    get = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get")
    shells = {
        node.hostname: FakeShell(node.hostname).on("sh", "-euc").on("sh", "-c", stdout=IN_PLACE) for node in woven.nodes
    }
    first = shells["iec01"].on("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "apply")
    first.on(*get, "--raw=/apis/apps/v1/namespaces/kube-system/daemonsets/weave-net", stdout="{}")
    first.on(*get, f"--raw={woven.cni.daemon_pods}", stdout='{"items": []}')

    def load() -> PatchedManifest:
        return woven.cni.render_manifest([ManifestText("x", b"kind: DaemonSet\n")], woven, _no_tls)

    phase = PodNetworkPhase(woven, shells, load, fake_phase_tools(reporter=reporter))
    assert phase.summary == "a network of a test"
    phase.run()
    assert phase.probe() == "weave applied"
    assert all(shell.called("sh", "-euc") for shell in shells.values())
    assert b"kind: DaemonSet\n" in first.inputs and reporter.lines == ["DaemonSet weave-net: changed"]
    assert find_pod_faults(Kubectl(first), woven)["iec02"] == "no pod of weave is there"
    assert "network-policy" in record_of(woven)["checks"]


def _no_tls(_address: object) -> Any:
    raise AssertionError("it has no etcd")
