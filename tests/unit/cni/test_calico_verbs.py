"""Plan and deploy of a POD with Calico, as far as they go without nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from iecpod.cni.calico import CALICO
from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.errors import DescriptorError, ImageError, PreflightError, UsageError
from iecpod.layout import Layout
from iecpod.options.choices import Encapsulation
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod, check_saved
from iecpod.release.mirrors import Supply
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.unit.cni.calico_of_the_iec import MANIFESTS, make_tls
from tests.unit.command_line import layout_below

SUPPLY = Supply(
    repositories={"kubernetes": "http://mirror.example/kubernetes"},
    manifests={name: f"/srv/{name}.yaml" for name in ("etcd", "rbac", "calico")},
    http_proxy="http://proxy.example:3128",
    registry_mirrors={"docker.io": "https://hub.example"},
    ca_certificates=("x",),
)


class CalicoTools(FakeTools):
    """Fetches the manifests that a test gives it."""

    load: Callable[[], tuple[ManifestText, ...]] = staticmethod(lambda: MANIFESTS)

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        return CALICO.render_manifest(self.load(), cluster, make_tls)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


@pytest.fixture
def tools(tmp_path: Path, layout: Layout) -> CalicoTools:
    return CalicoTools(tmp_path, layout)


def resolve(layout: Layout, supply: Supply | None) -> PodInputs:
    request = pod_request(
        ref=REF, base_uri=str(layout.pdf_dir), release="iec-r1", scenario="k8-calico-iec-noha", supply=supply
    )
    return resolve_request(request, layout, SavedPod())


def test_plan_shows_what_is_set_in_the_manifest(layout: Layout, tools: CalicoTools) -> None:
    inputs = resolve(layout, SUPPLY)
    result = make_pod_plan(inputs, tools)
    assert result.problems == ()
    text = plan_text(inputs, result)
    assert "\n\nManifest\nDaemonSet calico-node: CALICO_IPV4POOL_CIDR: 192.168.0.0/16 -> 100.100.0.0/16\n" in text
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert rows["proxy"].endswith("  http://proxy.example:3128 for http, http://proxy.example:3128 for https")
    assert "172.16.10.36" in rows["without proxy"] and ".svc" in rows["without proxy"]
    assert rows["images of docker.io"].endswith("  https://hub.example")
    assert rows["kubernetes"].endswith("  http://mirror.example/kubernetes")
    assert rows["certificates"].endswith("  1 added to what the nodes trust")


def test_a_plan_without_a_network_says_what_it_does_not_know(layout: Layout, tools: CalicoTools) -> None:
    def fail() -> tuple[ManifestText, ...]:
        raise ImageError("no route to host")

    tools.load = fail
    inputs = resolve(layout, SUPPLY)
    assert plan_text(inputs, make_pod_plan(inputs, tools)).endswith("\nManifest\nnot known yet: no route to host")


def test_a_manifest_that_cannot_be_patched_is_a_problem_of_the_plan(layout: Layout, tools: CalicoTools) -> None:
    tools.load = lambda: MANIFESTS[:2]
    problems = make_pod_plan(resolve(layout, SUPPLY), tools).problems
    assert [problem.message for problem in problems] == [
        "the manifest has no DaemonSet `calico-node`",
        "the manifest has no ConfigMap `calico-config`",
        "the manifest has no Secret `calico-etcd-secrets`",
    ]


def test_deploy_refuses_such_a_manifest_before_it_makes_anything(layout: Layout, tools: CalicoTools) -> None:
    tools.load = lambda: MANIFESTS[:2]
    with pytest.raises(DescriptorError):
        deploy(resolve(layout, SUPPLY), tools, lambda report: None)
    assert tools.hypervisor.observe() == () and not tools.pod_dir.exists()


def test_the_iec_release_without_a_mirror_says_so_before_it_starts(layout: Layout, tools: CalicoTools) -> None:
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, None), tools, lambda report: None)
    assert [problem.rule for problem in caught.value.problems] == [
        "repository-withdrawn",
        *["manifest-not-pinned"] * 3,
        "release-unsupported",
    ]
    assert tools.hypervisor.observe() == () and not tools.pod_dir.exists()


def _with_encapsulation(layout: Layout, encapsulation: Encapsulation | None, recalled: SavedPod) -> PodInputs:
    request = pod_request(
        ref=REF,
        base_uri=str(layout.pdf_dir),
        release="iec-r1",
        scenario="k8-calico-iec-noha",
        supply=SUPPLY,
        calico_encapsulation=encapsulation,
    )
    return resolve_request(request, layout, recalled)


def test_the_encapsulation_is_chosen_reported_and_saved(layout: Layout, tools: CalicoTools) -> None:
    inputs = _with_encapsulation(layout, Encapsulation.VXLAN, SavedPod())
    assert CALICO.encapsulation(inputs.order.release) is Encapsulation.VXLAN
    assert "calico, encapsulation vxlan" in plan_text(inputs, make_pod_plan(inputs, tools))
    again = _with_encapsulation(layout, None, SavedPod.from_json(inputs.to_save.to_json()))
    assert again.order.options.calico_encapsulation is Encapsulation.VXLAN
    of_the_release = _with_encapsulation(layout, None, SavedPod())
    assert of_the_release.order.options.calico_encapsulation is Encapsulation.IPIP


def test_the_encapsulation_of_a_pod_that_lives_is_fixed(layout: Layout) -> None:
    known = _with_encapsulation(layout, Encapsulation.VXLAN, SavedPod()).to_save
    wanted = _with_encapsulation(layout, Encapsulation.NONE, known).order.options
    with pytest.raises(UsageError, match="with Calico's encapsulation vxlan, not none"):
        check_saved(REF, known.options, wanted)


def test_an_encapsulation_of_another_pod_network_is_refused(layout: Layout) -> None:
    request = pod_request(
        ref=REF, base_uri=str(layout.pdf_dir), release="debian12", calico_encapsulation=Encapsulation.VXLAN
    )
    with pytest.raises(UsageError, match="--calico-encapsulation is for Calico"):
        resolve_request(request, layout, SavedPod())
