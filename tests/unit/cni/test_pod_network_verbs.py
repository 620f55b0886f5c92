"""Plan and deploy of PODs with flannel or with Calico's operator, as far as they go without nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

import iecpod
from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.errors import DescriptorError, PreflightError, UsageError
from iecpod.images.fetch.manifests import load_manifest
from iecpod.layout import Layout
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.release.mirrors import Supply
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.unit.cni.calico_of_the_iec import make_tls
from tests.unit.cni.cni_manifests import FLANNEL, OPERATOR, OPERATOR_CRDS
from tests.unit.command_line import layout_below


class ManifestTools(FakeTools):
    """Loads manifests as the real ones do, from files."""

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        manifests = cluster.cni.manifests(cluster.release)
        texts = [load_manifest(manifest, self.pod_dir / "cache", self.reporter) for manifest in manifests]
        return cluster.cni.render_manifest(texts, cluster, make_tls)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


@pytest.fixture
def tools(tmp_path: Path, layout: Layout) -> ManifestTools:
    return ManifestTools(tmp_path, layout)


def resolve(layout: Layout, scenario: str, release: str = "k8s-1.37", **manifests: Path) -> PodInputs:
    files = {name.replace("_", "-"): str(path) for name, path in manifests.items()}
    request = pod_request(
        ref=REF,
        base_uri=str(layout.pdf_dir),
        release=release,
        scenario=f"k8-{scenario}-iec-noha",
        supply=Supply(manifests=files),
    )
    return resolve_request(request, layout, SavedPod())


def written(directory: Path, manifest: ManifestText) -> Path:
    path = directory / manifest.file
    path.write_bytes(manifest.content)
    return path


def test_plan_shows_flannel_and_each_change(layout: Layout, tools: ManifestTools, tmp_path: Path) -> None:
    inputs = resolve(layout, "flannel", flannel=written(tmp_path, FLANNEL))
    result = make_pod_plan(inputs, tools)
    assert result.problems == ()
    text = plan_text(inputs, result)
    assert "\nCNI           flannel\n" in text
    assert text.endswith(
        "\n\nManifest\n"
        "net-conf.json in ConfigMap kube-flannel-cfg: Network: 10.244.0.0/16 -> 100.100.0.0/16\n"
        "DaemonSet kube-flannel-ds, container kube-flannel: NODE_IP: (unset) -> status.hostIP\n"
        "DaemonSet kube-flannel-ds, container kube-flannel: args: (unset) -> --iface=$(NODE_IP)\n"
        "DaemonSet kube-flannel-ds, container install-cni-plugin: GOMAXPROCS: (unset) -> 1\n"
        "DaemonSet kube-flannel-ds, container kube-flannel: GOMAXPROCS: (unset) -> 1"
    )


def test_plan_shows_the_operator_and_its_installation(layout: Layout, tools: ManifestTools, tmp_path: Path) -> None:
    inputs = resolve(
        layout,
        "calico-operator",
        operator_crds=written(tmp_path, OPERATOR_CRDS),
        tigera_operator=written(tmp_path, OPERATOR),
    )
    result = make_pod_plan(inputs, tools)
    assert result.problems == ()
    text = plan_text(inputs, result)
    assert "\nCNI              calico-operator, encapsulation ipip\n" in text
    assert "Installation default: calicoNetwork.ipPools[0].cidr: (unset) -> 100.100.0.0/16\n" in text


def test_calico_by_its_manifest_stays_what_the_iec_s_scenario_means(layout: Layout) -> None:
    inputs = resolve(layout, "calico")
    assert [manifest.name for manifest in inputs.order.cni.manifests(inputs.order.release)] == ["calico"]


def test_a_manifest_that_nobody_pinned_is_asked_for(layout: Layout, tools: ManifestTools, tmp_path: Path) -> None:
    lines = (Path(iecpod.__file__).parent / "releases/k8s-1.37.yaml").read_text().splitlines(keepends=True)
    (tmp_path / "copy.yaml").write_text("".join(line for line in lines if "e875824b" not in line))
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, "flannel", str(tmp_path / "copy.yaml")), tools, lambda report: None)
    assert [problem.rule for problem in caught.value.problems] == ["manifest-not-pinned"]
    assert "--manifest flannel=FILE" in caught.value.problems[0].remedy
    assert tools.hypervisor.observe() == () and not tools.pod_dir.exists()


@pytest.mark.parametrize("scenario", ["calico", "calico-operator", "flannel"])
def test_every_manifest_of_a_connected_lab_is_pinned(scenario: str) -> None:
    inputs = resolve(layout_below(Path("/nowhere")), scenario)
    assert {len(manifest.sha256) for manifest in inputs.order.cni.manifests(inputs.order.release)} == {64}


@pytest.mark.parametrize(
    ("release", "scenario", "remedy"),
    [
        ("iec-r1", "calico-operator", "choose a scenario (-s) with calico or bridge, or another --release"),
        ("debian12", "flannel", "choose a scenario (-s) with bridge, or another --release"),
    ],
)
def test_a_release_without_the_pod_network_is_refused(
    layout: Layout, tools: ManifestTools, release: str, scenario: str, remedy: str
) -> None:
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, scenario, release), tools, lambda report: None)
    (problem,) = [problem for problem in caught.value.problems if problem.rule == "cni-not-in-release"]
    assert problem.remedy == remedy
    assert problem.message == (f"release {release} has no {scenario}, which scenario k8-{scenario}-iec-noha needs")
    assert tools.hypervisor.observe() == () and not tools.pod_dir.exists()


def test_deploy_refuses_a_manifest_of_something_else_before_it_makes_anything(
    layout: Layout, tools: ManifestTools, tmp_path: Path
) -> None:
    inputs = resolve(layout, "flannel", flannel=written(tmp_path, OPERATOR))
    with pytest.raises(DescriptorError) as caught:
        deploy(inputs, tools, lambda report: None)
    assert [problem.message for problem in caught.value.problems] == [
        "the manifest has no ConfigMap `kube-flannel-cfg`",
        "the manifest has no container `kube-flannel`",
    ]
    assert tools.hypervisor.observe() == () and not tools.pod_dir.exists()


def test_a_manifest_that_the_release_does_not_have_is_wrong_usage(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(layout, "flannel", weave=written(tmp_path, FLANNEL))
    assert caught.value.remedy == "it has calico, flannel, operator-crds, tigera-operator"
