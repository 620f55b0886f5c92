"""The environment of containers in manifests: by a release, by a file, and what of both is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from iecpod.cni.registry import CNIS
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.design.cluster import Cni, DesiredCluster
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.errors import DescriptorError, UsageError
from iecpod.layout import Layout
from iecpod.options.option_table import PodOptions
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod, check_saved
from iecpod.release.container_environment import ContainerEnvironment, read_manifest_patch
from iecpod.release.file import check_release_text, load_release, parse_release
from iecpod.release.mirrors import Supply
from iecpod.release.release import CniSource, Release
from iecpod.yaml.document import dump_yaml, load_yaml_all
from tests.fakes.pod_tools import REF
from tests.pod_requests import pod_request
from tests.unit.cni.calico_of_the_iec import make_tls
from tests.unit.cni.cni_manifests import CALICO, FLANNEL, OPERATOR, OPERATOR_CRDS
from tests.unit.cni.test_pod_network_verbs import ManifestTools, written
from tests.unit.command_line import layout_below

ROOT = Path(__file__).parents[3]
RELEASES, SCHEMAS = ROOT / "iecpod/releases", ROOT / "schemas"
RELEASE = load_release("k8s-1.37", RELEASES, SCHEMAS)
NODE = {"kind": "DaemonSet", "name": "calico-node", "container": "calico-node"}
PATCH = """\
containers:
  - kind: DaemonSet
    name: calico-node
    container: calico-node
    environment:
      FELIX_HEALTHENABLED: "false"
      FELIX_DebugSkipCTLBCleanup: "true"
  - kind: DaemonSet
    name: calico-node
    container: install-cni
    environment: {UPDATE_CNI_BINARIES: "no"}
"""


def environment(container: str = "calico-node", kind: str = "DaemonSet", **variables: str) -> ContainerEnvironment:
    name = "calico-node" if kind == "DaemonSet" else container
    return ContainerEnvironment(kind, name, container, variables)


def render(
    cluster: DesiredCluster, release: Release, cni: Cni = CNIS["calico"], *manifests: ManifestText
) -> PatchedManifest:
    wanted = dataclasses.replace(cluster, release=release, cni=cni)
    return cni.render_manifest(manifests or (CALICO,), wanted, make_tls)


def with_calico(*environments: ContainerEnvironment, patch: tuple[ContainerEnvironment, ...] = ()) -> Release:
    release = RELEASE.with_cni_source("calico", CniSource(containers=environments))
    return dataclasses.replace(release, manifest_patch=patch)


def variables_in(manifest: PatchedManifest, container: str) -> dict[str, Any]:
    objects: list[Any] = [document.data for document in load_yaml_all(manifest.text, "x")]
    pods = [found["spec"]["template"]["spec"] for found in objects if "template" in found.get("spec", {})]
    containers = [one for pod in pods for one in (*pod.get("initContainers", ()), *pod["containers"])]
    (wanted,) = [one for one in containers if one["name"] == container]
    return {entry["name"]: entry.get("value") for entry in wanted.get("env", ())}


def test_variables_are_set_and_each_is_a_line_of_the_changes(cluster: DesiredCluster, tmp_path: Path) -> None:
    (tmp_path / "patch.yaml").write_text(PATCH)
    patch = read_manifest_patch(tmp_path / "patch.yaml", SCHEMAS)
    before = render(cluster, with_calico())
    manifest = render(cluster, with_calico(patch=patch))
    place = "DaemonSet calico-node, container"
    assert [change for change in manifest.changes if change not in before.changes] == [
        f"{place} calico-node: FELIX_HEALTHENABLED: true -> false",
        f"{place} calico-node: FELIX_DebugSkipCTLBCleanup: (unset) -> true",
        f"{place} install-cni: UPDATE_CNI_BINARIES: (unset) -> no",
    ]
    assert variables_in(manifest, "install-cni") == {"UPDATE_CNI_BINARIES": "no"}
    added = {"FELIX_HEALTHENABLED": "false", "FELIX_DebugSkipCTLBCleanup": "true"}
    assert variables_in(manifest, "calico-node") == {**variables_in(before, "calico-node"), **added}


def test_the_file_comes_after_the_release(cluster: DesiredCluster) -> None:
    release = with_calico(environment(A="release", B="release"), patch=(environment(A="file"),))
    manifest = render(cluster, release)
    assert variables_in(manifest, "calico-node").items() >= {"A": "file", "B": "release"}.items()
    assert manifest.changes[-1] == "DaemonSet calico-node, container calico-node: A: release -> file"


def test_a_place_that_is_not_there_is_reported_with_those_that_are(cluster: DesiredCluster) -> None:
    patch = (environment("felix", A="1"), environment("calico-kube-controllers", kind="DaemonSet", A="1"))
    with pytest.raises(DescriptorError) as caught:
        render(cluster, with_calico(patch=patch))
    assert [problem.message for problem in caught.value.problems] == [
        "the manifest has no container felix in DaemonSet calico-node",
        "the manifest has no container calico-kube-controllers in DaemonSet calico-node",
    ]
    assert {problem.remedy for problem in caught.value.problems} == {
        "it has DaemonSet calico-node, container install-cni; DaemonSet calico-node, container calico-node; "
        "Deployment calico-kube-controllers, container calico-kube-controllers"
    }
    assert {problem.rule for problem in caught.value.problems} == {"manifest-patch"}


@pytest.mark.parametrize("name", ["CALICO_IPV4POOL_CIDR", "CALICO_IPV4POOL_IPIP", "IP_AUTODETECTION_METHOD"])
def test_what_iecpod_sets_is_not_set_otherwise(cluster: DesiredCluster, name: str) -> None:
    with pytest.raises(DescriptorError) as caught:
        render(cluster, with_calico(environment(**{name: "x"})))
    (problem,) = caught.value.problems
    assert problem.message == f"DaemonSet calico-node, container calico-node: {name} is set by iecpod for this POD"


@pytest.mark.parametrize(
    ("cni", "manifests", "place"),
    [
        (CNIS["flannel"], (FLANNEL,), ("DaemonSet", "kube-flannel-ds", "kube-flannel")),
        (CNIS["calico-operator"], (OPERATOR_CRDS, OPERATOR), ("Deployment", "tigera-operator", "tigera-operator")),
        (CNIS["kube-router"], (), ("DaemonSet", "kube-router", "kube-router")),
    ],
)
def test_every_manifest_can_be_patched(
    cluster: DesiredCluster, cni: Cni, manifests: tuple[ManifestText, ...], place: tuple[str, str, str]
) -> None:
    release = dataclasses.replace(RELEASE, kube_router_image="a/b:1")
    assert "A: (unset)" not in "".join(render(cluster, release, cni, *manifests).changes)
    patched = dataclasses.replace(release, manifest_patch=(ContainerEnvironment(*place, {"A": "1"}),))
    manifest = render(cluster, patched, cni, *manifests)
    kind, name, container = place
    assert f"{kind} {name}, container {container}: A: (unset) -> 1" in manifest.changes
    assert variables_in(manifest, container)["A"] == "1"


def problems_of(directory: Path, *entries: object, **keys: object) -> list[tuple[str, str]]:
    (directory / "patch.yaml").write_text(dump_yaml({"containers": list(entries), **keys}))
    try:
        read_manifest_patch(directory / "patch.yaml", SCHEMAS)
    except DescriptorError as error:
        assert all(problem.line for problem in error.problems)
        return [(problem.path, problem.rule) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({**NODE, "environment": {"A": "1"}}, None),
        ({**NODE, "environment": {"A": 1}}, ("containers[0].environment.A", "schema-type")),
        ({**NODE, "environment": {"A": True}}, ("containers[0].environment.A", "schema-type")),
        ({**NODE, "environment": {"A": "a\nb"}}, ("containers[0].environment.A", "schema-pattern")),
        ({**NODE, "environment": {"A": "x" * 4097}}, ("containers[0].environment.A", "schema-maxlength")),
        ({**NODE, "environment": {"A=B": "1"}}, ("containers[0].environment", "schema-pattern")),
        ({**NODE, "environment": {}}, ("containers[0].environment", "schema-minproperties")),
        (NODE, ("containers[0]", "schema-missing-key")),
        ({**NODE, "environment": {"A": "1"}, "image": "x"}, ("containers[0].image", "schema-unknown-key")),
        ({**NODE, "kind": "Pod", "environment": {"A": "1"}}, ("containers[0].kind", "schema-enum")),
        ({**NODE, "name": "a b", "environment": {"A": "1"}}, ("containers[0].name", "schema-pattern")),
    ],
)
def test_the_file_is_read_strictly(tmp_path: Path, entry: object, problem: tuple[str, str] | None) -> None:
    assert problems_of(tmp_path, entry) == ([problem] if problem else [])


def test_a_container_stands_in_one_entry(tmp_path: Path) -> None:
    entry = {**NODE, "environment": {"A": "1"}}
    assert problems_of(tmp_path, entry, {**entry, "container": "x"}, entry) == [("containers[2]", "container-repeated")]
    assert problems_of(tmp_path, images=[]) == [("images", "schema-unknown-key")]
    with pytest.raises(UsageError, match="--manifest-patch"):
        read_manifest_patch(tmp_path, SCHEMAS)


@pytest.mark.parametrize("network", ["calico", "flannel"])
def test_a_release_says_it_in_the_same_words(network: str) -> None:
    data: Any = load_yaml_all((RELEASES / "k8s-1.37.yaml").read_bytes(), "x")[0].data
    entry = {**NODE, "environment": {"A": "1"}}
    data = {**data, network: {**data[network], "containers": [entry]}}
    release = parse_release(check_release_text(dump_yaml(data).encode(), "x", SCHEMAS))
    assert release.cni_source(network).containers == (environment(A="1"),)
    data[network]["containers"].append(entry)
    with pytest.raises(DescriptorError) as caught:
        check_release_text(dump_yaml(data).encode(), "x", SCHEMAS)
    assert [problem.path for problem in caught.value.problems] == [f"{network}.containers[1]"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


def resolve(
    layout: Layout, tmp_path: Path, text: str | None, recalled: SavedPod | None = None, scenario: str = "calico"
) -> PodInputs:
    path = tmp_path / "patch.yaml"
    path.write_text(text or "")
    supply = Supply(manifests={"calico": str(written(tmp_path, CALICO))})
    request = pod_request(
        ref=REF,
        base_uri=str(layout.pdf_dir),
        release="k8s-1.37",
        scenario=f"k8-{scenario}-iec-noha",
        supply=supply,
        manifest_patch_file=path if text is not None else None,
    )
    return resolve_request(request, layout, recalled or SavedPod())


def test_the_plan_lists_each_change(layout: Layout, tmp_path: Path) -> None:
    inputs = resolve(layout, tmp_path, PATCH)
    result = make_pod_plan(inputs, ManifestTools(tmp_path, layout))
    lines = plan_text(inputs, result).partition("\n\nManifest\n")[2].splitlines()
    assert lines[-1] == "DaemonSet calico-node, container install-cni: UPDATE_CNI_BINARIES: (unset) -> no"


def test_without_a_manifest_there_is_nothing_to_patch(layout: Layout, tmp_path: Path) -> None:
    inputs = resolve(layout, tmp_path, PATCH, scenario="bridge")
    (problem,) = make_pod_plan(inputs, ManifestTools(tmp_path, layout)).problems
    assert problem.rule == "manifest-patch" and "bridge of scenario k8-bridge-iec-noha has none" in problem.message
    cleared = resolve(layout, tmp_path, "containers: []\n", inputs.to_save, scenario="bridge")
    assert make_pod_plan(cleared, ManifestTools(tmp_path, layout)).problems == ()


def test_a_pod_remembers_what_the_file_said(layout: Layout, tmp_path: Path) -> None:
    saved = resolve(layout, tmp_path, PATCH).to_save
    recalled = SavedPod.from_json(saved.to_json())
    assert recalled == saved and recalled.options.manifest_patch is not None
    assert len(recalled.options.manifest_patch) == 2
    later = resolve(layout, tmp_path, None, recalled)
    assert later.order.release.manifest_patch == saved.options.manifest_patch
    check_saved(REF, recalled.options, later.order.options)
    with pytest.raises(UsageError) as caught:
        check_saved(REF, recalled.options, resolve(layout, tmp_path, "containers: []\n", recalled).order.options)
    assert caught.value.cause.endswith("container install-cni: UPDATE_CNI_BINARIES=no`, not none")
    check_saved(REF, PodOptions(), saved.options)
    for damaged in ('[{"kind": 1}]', '[{"kind": "A", "name": "a", "container": "b", "variables": {"A=B": "1"}}]'):
        with pytest.raises(ValueError):
            SavedPod.from_json(f'{{"manifest_patch": {damaged}}}')


def test_nodes_that_reach_no_registry_never_pull(cluster: DesiredCluster) -> None:
    """By default a kubelet pulls what is named by `latest`, and what has the policy Always."""
    content = CALICO.content.replace(b"quay.io/calico/cni:v3.32.1", b"quay.io/calico/cni")
    content = content.replace(b"node:v3.32.1\n", b"node:v3.32.1\n          imagePullPolicy: Always\n")
    manifest = ManifestText("x", content)
    go = load_release("k8s-1.37-go", RELEASES, SCHEMAS)
    place = "DaemonSet calico-node, container"
    listed = [change for change in render(cluster, go, CNIS["calico"], manifest).changes if "imagePullPolicy" in change]
    assert listed == [
        f"{place} install-cni: imagePullPolicy: (unset) -> IfNotPresent",
        f"{place} calico-node: imagePullPolicy: Always -> IfNotPresent",
    ]
    assert "IfNotPresent" not in render(cluster, RELEASE, CNIS["calico"], manifest).text


def test_emulated_nodes_have_time_for_probes_and_run_one_thread(cluster: DesiredCluster) -> None:
    """Probes that wait longer stay as they are, and a container without one gets none."""
    old, waits = b"[/bin/calico-node, -felix-live, -bird-live]}", b", failureThreshold: 100, periodSeconds: 10"
    assert old in CALICO.content
    manifest = ManifestText("x", CALICO.content.replace(old, old + waits))
    emulated = dataclasses.replace(cluster, low_overhead=True)
    rendered = render(emulated, RELEASE, CNIS["calico"], manifest)
    place = "DaemonSet calico-node, container calico-node"
    assert [change for change in rendered.changes if "Probe" in change or "GOMAXPROCS" in change] == [
        f"{place}, livenessProbe: timeoutSeconds: (unset) -> 60",
        f"{place}, livenessProbe: periodSeconds: 10 -> 60",
        f"{place}, readinessProbe: timeoutSeconds: (unset) -> 60",
        f"{place}, readinessProbe: periodSeconds: (unset) -> 30",
        "DaemonSet calico-node, container install-cni: GOMAXPROCS: (unset) -> 1",
        f"{place}: GOMAXPROCS: (unset) -> 1",
        "Deployment calico-kube-controllers, container calico-kube-controllers: GOMAXPROCS: (unset) -> 1",
    ]
    own = with_calico(patch=(environment(GOMAXPROCS="2"),))
    assert f"{place}: GOMAXPROCS: 1 -> 2" in render(emulated, own, CNIS["calico"], manifest).changes
    assert "failureThreshold: 100\n" in rendered.text
    assert "timeoutSeconds" not in render(cluster, RELEASE, CNIS["calico"], manifest).text
