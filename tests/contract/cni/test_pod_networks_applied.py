"""flannel's patched manifest and Calico's operator, given to a real API server by the phases that apply them.

It has no kubelet and no controllers, so nothing comes of what is applied: waits for pods end in time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from iecpod.cni.calico import CalicoSettings
from iecpod.cni.calico_operator import render_operator
from iecpod.cni.flannel import FlannelSettings, patch_flannel_manifest
from iecpod.cni.registry import CNIS
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.phases.pod_network import PodNetworkPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText
from iecpod.errors import CommandFailed, WaitTimeout
from iecpod.options.choices import Encapsulation
from iecpod.ports import CommandResult
from iecpod.wait import SystemClock
from iecpod.yaml.document import dump_yaml
from tests.contract.api_server import Api
from tests.fakes import FakeShell, fake_phase_tools
from tests.unit.cni.cni_manifests import FLANNEL, OPERATOR, OPERATOR_CRDS

UPSTREAM = Path(__file__).parents[4] / "shared/calico/v3.32.1/tigera-operator.yaml"


def shell_of(api: Api) -> FakeShell:
    """A control plane node whose kubectl is the real one."""

    def kubectl(argv: Sequence[str], stdin: bytes) -> CommandResult:
        done = api.kubectl(*argv[2:], stdin=stdin.decode())
        return CommandResult(done.returncode, done.stdout, done.stderr)

    return FakeShell("iec01").reply(("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"), kubectl)


def test_flannel_is_taken_whole_and_found_again(api: Api, cluster: DesiredCluster) -> None:
    jumbo = dataclasses.replace(cluster, cni=CNIS["flannel"], mgmt_mtu=9000)
    patched = patch_flannel_manifest([FLANNEL], jumbo, FlannelSettings())
    phase = PodNetworkPhase(jumbo, {"iec01": shell_of(api)}, lambda: patched, fake_phase_tools())
    assert phase.probe() is None
    phase.run()
    assert phase.probe() == "flannel applied"
    phase.run()
    config = api.get("-n", "kube-flannel", "configmap", "kube-flannel-cfg")["data"]["net-conf.json"]
    assert '"Network": "100.100.0.0/16"' in config and '"MTU": 9000' in config
    (daemon,) = api.get("-n", "kube-flannel", "daemonset", "kube-flannel-ds")["spec"]["template"]["spec"]["containers"]
    assert daemon["args"][-1] == "--iface=$(NODE_IP)"
    assert daemon["env"][-1]["valueFrom"]["fieldRef"]["fieldPath"] == "status.hostIP"
    other = dataclasses.replace(jumbo, pod_cidr=next(jumbo.pod_cidr.subnets()))
    assert dataclasses.replace(phase, cluster=other).probe() is None


def test_the_operator_is_taken_with_its_installation_and_its_pods_are_waited_for(
    api: Api, cluster: DesiredCluster
) -> None:
    operator = ManifestText("tigera-operator.yaml", UPSTREAM.read_bytes()) if UPSTREAM.exists() else OPERATOR
    of_operator = dataclasses.replace(cluster, cni=CNIS["calico-operator"])
    rendered = render_operator(
        [OPERATOR_CRDS, operator], of_operator, CalicoSettings(encapsulation=Encapsulation.VXLAN)
    )
    tools = fake_phase_tools(limits={"cni": 5}, clock=SystemClock())
    tools.begin("cni")
    phase = PodNetworkPhase(of_operator, {"iec01": shell_of(api)}, lambda: rendered, tools)
    assert phase.probe() is None
    for _ in range(2):
        with pytest.raises(WaitTimeout) as caught:
            phase.run()
        assert caught.value.awaited == "calico-node Running"
        assert caught.value.last_seen == "iec01: no pod of calico-operator is there"
    spec = api.get("installations.operator.tigera.io", "default")["spec"]
    assert spec["calicoNetwork"]["ipPools"][0]["cidr"] == "100.100.0.0/16"
    assert spec["calicoNetwork"]["nodeAddressAutodetectionV4"] == {"cidrs": ["172.16.10.0/24"]}
    assert (spec["calicoNetwork"]["mtu"], spec["calicoNetwork"]["bgp"]) == (1450, "Disabled")
    assert api.get("apiservers.operator.tigera.io", "default")["spec"] == {}
    assert api.get("-n", "tigera-operator", "deployment", "tigera-operator")["kind"] == "Deployment"
    assert phase.probe() is None


def test_what_no_annotation_can_hold_is_applied_on_the_server(api: Api) -> None:
    """As upstream's CRDs, of which one alone is larger than the 256 KiB of all annotations of an object."""
    shell = shell_of(api)
    large = dump_yaml(
        {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"name": "large", "namespace": "default"},
            "data": {"x": "x" * 300_000},
        }
    )
    with pytest.raises(CommandFailed, match="Too long"):
        Kubectl(shell).apply(large)
    Kubectl(shell).apply_on_server(large)
    assert len(api.get("-n", "default", "configmap", "large")["data"]["x"]) == 300_000
