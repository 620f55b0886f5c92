"""The phases that make a pod network by manifest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from iecpod.cni.calico import CalicoSettings
from iecpod.cni.calico_operator import render_operator
from iecpod.cni.flannel import FlannelSettings, patch_flannel_manifest
from iecpod.cni.registry import CNIS
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.kubectl.network_health import find_pod_faults
from iecpod.deploy.phases.pod_network import PodNetworkPhase
from iecpod.deploy.phases.ready import ReadyPhase
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import Cni, DesiredCluster
from iecpod.design.manifest_text import PatchedManifest
from iecpod.errors import CommandFailed, ExitCode, WaitTimeout
from iecpod.ports import CommandResult
from iecpod.yaml.document import load_yaml_all
from tests.fakes import FakeClock, FakeShell, RecordingReporter, fake_phase_tools
from tests.unit.cni.cni_manifests import FLANNEL, OPERATOR, OPERATOR_CRDS

KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
GET = (*KUBECTL, "get")
APPLY = (*KUBECTL, "apply")
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/installations.operator.tigera.io"
SERVER_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apiservers.operator.tigera.io"
INSTALLATION = "/apis/operator.tigera.io/v1/installations/default"
CALICO_NODE = "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node"
CONFIGS = "/api/v1/configmaps?fieldSelector=metadata.name%3Dkube-flannel-cfg"
NODE_PODS = "/api/v1/namespaces/calico-system/pods?labelSelector=k8s-app%3Dcalico-node"
DAEMONS = "/apis/apps/v1/daemonsets?labelSelector=app%3Dflannel"
NOT_FOUND = CommandResult(1, "", "Error from server (NotFound): the server could not find the requested resource")


def answer(shell: FakeShell, path: str, *found: object | None) -> FakeShell:
    """In this order; None is that there is nothing there."""
    for one in found:
        shell.reply((*GET, f"--raw={path}"), NOT_FOUND if one is None else CommandResult(0, json.dumps(one), ""))
    return shell


RUNNING = {
    "metadata": {"name": "calico-node-x"},
    "spec": {"nodeName": "iec01"},
    "status": {"phase": "Running", "containerStatuses": [{"image": "x", "ready": True, "state": {"running": {}}}]},
}


def established(status: str) -> dict[str, Any]:
    return {
        "status": {
            "conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": status}]
        }
    }


def known(shell: FakeShell) -> FakeShell:
    """The operator's kinds are."""
    return answer(answer(shell, CRD, established("True")), SERVER_CRD, established("True"))


def pods(*waiting: tuple[str, str]) -> dict[str, Any]:
    """By name and image."""
    return {
        "items": [
            {
                "metadata": {"name": name},
                "spec": {"nodeName": "iec01"},
                "status": {
                    "phase": "Pending",
                    "containerStatuses": [
                        {"image": image, "ready": False, "state": {"waiting": {"reason": "ImagePullBackOff"}}}
                    ],
                },
            }
            for name, image in waiting
        ]
    }


def phase_of(
    cluster: DesiredCluster, shell: FakeShell, load_manifest: Callable[[], PatchedManifest], tools: PhaseTools
) -> PodNetworkPhase:
    """With the first node's shell; the others are not spoken to."""
    shells = {node.hostname: FakeShell(node.hostname) for node in cluster.nodes}
    return PodNetworkPhase(cluster, {**shells, "iec01": shell}, load_manifest, tools)


# flannel


def flannel_phase(
    cluster: DesiredCluster, shell: FakeShell, reporter: RecordingReporter | None = None
) -> PodNetworkPhase:
    def load_manifest() -> PatchedManifest:
        return patch_flannel_manifest([FLANNEL], cluster, FlannelSettings())

    with_flannel = dataclasses.replace(cluster, cni=CNIS["flannel"])
    return phase_of(with_flannel, shell, load_manifest, fake_phase_tools(reporter=reporter))


def config(network: str) -> dict[str, Any]:
    return {"items": [{"data": {"net-conf.json": json.dumps({"Network": network})}}]}


@pytest.mark.parametrize(
    ("configs", "daemons", "found"),
    [
        (config("100.100.0.0/16"), {"items": [{}]}, "flannel applied"),
        (config("100.100.0.0/16"), {"items": []}, None),
        (config("10.244.0.0/16"), {"items": [{}]}, None),
        ({"items": [{"data": {}}]}, {"items": [{}]}, None),
        ({"items": []}, {"items": [{}]}, None),
        (None, None, None),
    ],
)
def test_flannel_is_there_with_its_network_and_its_daemons(
    cluster: DesiredCluster, configs: object, daemons: object, found: str | None
) -> None:
    shell = answer(answer(FakeShell(), CONFIGS, configs), DAEMONS, daemons)
    assert flannel_phase(cluster, shell).probe() == found


def test_flannel_is_applied_and_each_change_is_reported(cluster: DesiredCluster) -> None:
    shell, reporter = FakeShell().on(*APPLY), RecordingReporter()
    phase = flannel_phase(cluster, shell, reporter)
    phase.run()
    assert shell.inputs == [phase.load_manifest().text.encode()]
    assert "--server-side" not in shell.calls[0]
    assert reporter.lines == list(phase.load_manifest().changes) and len(reporter.lines) == 3


# The Tigera operator


def operator_phase(
    cluster: DesiredCluster, shell: FakeShell, clock: FakeClock | None = None, limit: float | None = None
) -> PodNetworkPhase:
    def load_manifest() -> PatchedManifest:
        return render_operator([OPERATOR_CRDS, OPERATOR], cluster, CalicoSettings())

    tools = fake_phase_tools(console="login:", clock=clock, limits={"cni": limit} if limit else {})
    tools.begin("cni")
    of_operator = dataclasses.replace(cluster, cni=CNIS["calico-operator"])
    return phase_of(of_operator, shell, load_manifest, tools)


def installation(cidr: str) -> dict[str, Any]:
    return {"spec": {"calicoNetwork": {"ipPools": [{"cidr": cidr}]}}}


@pytest.mark.parametrize(
    ("installed", "made", "found"),
    [
        (installation("100.100.0.0/16"), {"kind": "DaemonSet"}, "calico-node made by the operator"),
        (installation("100.100.0.0/16"), None, None),
        (installation("192.168.0.0/16"), {"kind": "DaemonSet"}, None),
        ({"spec": {}}, {"kind": "DaemonSet"}, None),
        (None, None, None),
    ],
)
def test_the_operator_s_work_is_there_with_its_pool(
    cluster: DesiredCluster, installed: object, made: object, found: str | None
) -> None:
    shell = answer(answer(FakeShell(), INSTALLATION, installed), CALICO_NODE, made)
    assert operator_phase(cluster, shell).probe() == found


def test_the_installation_is_applied_when_its_kind_is_known_and_its_pods_are_waited_for(
    cluster: DesiredCluster,
) -> None:
    shell = FakeShell().on(*APPLY)
    answer(shell, CRD, None, established("False"), established("True"))
    answer(shell, SERVER_CRD, established("False"), established("True"))
    answer(shell, NODE_PODS, None, {"items": []}, pods(("calico-node-x", "calico/node:v3")), {"items": [RUNNING]})
    operator_phase(cluster, shell).run()
    applied = [(call, sent) for call, sent in zip(shell.calls, shell.inputs, strict=True) if call[2] == "apply"]
    assert ["--server-side" in call for call, _ in applied] == [True, False]
    assert [kinds(sent) for _, sent in applied] == [
        ["CustomResourceDefinition", "CustomResourceDefinition", "Namespace", "Deployment"],
        ["Installation", "APIServer"],
    ]
    order = [call[2] if call[2] == "apply" else call[3] for call in shell.calls]
    installations, servers = f"--raw={CRD}", f"--raw={SERVER_CRD}"
    looks = [installations, installations, installations, servers, installations, servers]
    assert order == ["apply", *looks, "apply", *[f"--raw={NODE_PODS}"] * 4]


def kinds(text: bytes) -> list[str]:
    return [document.data["kind"] for document in load_yaml_all(text, "x") if isinstance(document.data, dict)]


def test_an_operator_that_cannot_be_pulled_is_reported_with_its_image(cluster: DesiredCluster) -> None:
    clock, shell = FakeClock(), FakeShell().on(*APPLY)
    answer(known(shell), NODE_PODS, {"items": []})
    answer(shell, "/api/v1/namespaces/tigera-operator/pods", pods(("tigera-operator-x", "quay.io/tigera/operator:v1")))
    answer(shell, "/api/v1/namespaces/calico-system/pods", pods())
    with pytest.raises(WaitTimeout) as caught:
        operator_phase(cluster, shell, clock, limit=30).run()
    assert caught.value.exit_code is ExitCode.TIMEOUT and clock.seconds == 30
    assert caught.value.last_seen == "iec01: no pod of calico-operator is there"
    assert caught.value.evidence == (
        "pods of tigera-operator that do not run:\n    tigera-operator-x: ImagePullBackOff quay.io/tigera/operator:v1\n"
        "console of iec01, its last lines:\n    login:"
    )
    assert "get tigerastatuses" in caught.value.remedy and "resume with" in caught.value.remedy


def test_calico_s_own_images_that_cannot_be_pulled_are_reported(cluster: DesiredCluster) -> None:
    shell = FakeShell().on(*APPLY)
    answer(known(shell), NODE_PODS, pods(("calico-node-x", "quay.io/calico/node:v3")))
    answer(shell, "/api/v1/namespaces/tigera-operator/pods", pods())
    answer(
        shell,
        "/api/v1/namespaces/calico-system/pods",
        pods(("calico-node-x", "quay.io/calico/node:v3"), ("calico-typha-y", "quay.io/calico/typha:v3")),
    )
    with pytest.raises(WaitTimeout) as caught:
        operator_phase(cluster, shell).run()
    assert caught.value.last_seen == "iec01: calico-node-x: ErrImagePull quay.io/calico/node:v3"
    assert caught.value.evidence.startswith(
        "pods of calico-system that do not run:\n"
        "    calico-node-x: ImagePullBackOff quay.io/calico/node:v3\n"
        "    calico-typha-y: ImagePullBackOff quay.io/calico/typha:v3\n"
    )


def test_an_installation_that_is_refused_is_an_error(cluster: DesiredCluster) -> None:
    shell = known(FakeShell())

    def apply(_argv: Sequence[str], stdin: bytes) -> CommandResult:
        return CommandResult(1, "", "Installation is invalid") if b"kind: Installation\n" in stdin[:80] else _APPLIED

    shell.reply(APPLY, apply)
    with pytest.raises(CommandFailed, match="Installation is invalid"):
        operator_phase(cluster, shell).run()


_APPLIED = CommandResult(0, "", "")


# Readiness


@pytest.mark.parametrize(
    ("cni", "listed_at"),
    [
        (CNIS["calico-operator"], NODE_PODS),
        (CNIS["flannel"], "/api/v1/pods?labelSelector=app%3Dflannel"),
        (CNIS["kube-router"], "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-router"),
    ],
)
def test_each_node_has_a_pod_of_its_network(cluster: DesiredCluster, cni: Cni, listed_at: str) -> None:
    shell = answer(FakeShell(), listed_at, {"items": [RUNNING]})
    assert find_pod_faults(Kubectl(shell), dataclasses.replace(cluster, cni=cni)) == {
        node.hostname: f"no pod of {cni.name} is there" for node in cluster.workers
    }


@pytest.mark.parametrize(
    ("cni", "namespaces"),
    [
        (CNIS["calico"], ["kube-system"]),
        (CNIS["flannel"], ["kube-system", "kube-flannel"]),
        (CNIS["calico-operator"], ["kube-system", "tigera-operator", "calico-system"]),
    ],
)
def test_readiness_that_does_not_come_names_the_pods_of_the_cni_s_namespaces(
    cluster: DesiredCluster, cni: Cni, namespaces: list[str]
) -> None:
    first = FakeShell("iec01").on("cat").on("kubectl", stdout='{"items": []}')
    for namespace in ("kube-system", "kube-flannel", "tigera-operator", "calico-system"):
        answer(first, f"/api/v1/namespaces/{namespace}/pods", pods(("pod-x", f"registry.example/{namespace}:1")))
    shells = {**{node.hostname: FakeShell(node.hostname).on("cat") for node in cluster.workers}, "iec01": first}
    with pytest.raises(WaitTimeout) as caught:
        ReadyPhase(dataclasses.replace(cluster, cni=cni), shells, fake_phase_tools()).run()
    shown = "".join(
        f"pods of {namespace} that do not run:\n    pod-x: ImagePullBackOff registry.example/{namespace}:1\n"
        for namespace in namespaces
    )
    assert caught.value.evidence.startswith(f"{shown}console of iec01")
