"""Release files: what the shipped ones say, and how a broken one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iecpod.cni.registry import CNIS
from iecpod.errors import DescriptorError, UsageError
from iecpod.model import Arch
from iecpod.release.file import load_release
from iecpod.release.release import ImageSourceType, Release
from iecpod.yaml.document import dump_yaml_all, load_yaml

ROOT = Path(__file__).parents[3]
RELEASES = ROOT / "iecpod/releases"
SCHEMAS = ROOT / "schemas"
MANIFEST = {"name": "x", "url": "https://example.org/x.yaml"}


def load(name: str) -> Release:
    return load_release(name, RELEASES, SCHEMAS)


def shipped(name: str) -> dict[str, Any]:
    data = load_yaml((RELEASES / f"{name}.yaml").read_bytes(), name).data
    assert isinstance(data, dict)
    return data


def problems_of(tmp_path: Path, data: dict[str, Any]) -> list[str]:
    path = tmp_path / "release.yaml"
    path.write_text(dump_yaml_all([data]))
    with pytest.raises(DescriptorError) as caught:
        load(str(path))
    assert str(path) in caught.value.cause
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_debian12_needs_no_network() -> None:
    release = load("debian12")
    assert release.image.type is ImageSourceType.MMDEBSTRAP
    assert release.image.suite == "bookworm"
    assert release.bundle is not None
    assert release.bundle.kubernetes is not None
    assert release.bundle.kubernetes.go_packages == ("golang-1.15-go", "golang-1.15-src")
    assert (release.repositories, release.packages) == ((), ())
    assert release.cnis == ("bridge",)
    assert not release.coredns


@pytest.mark.parametrize("name", ["debian12", "k8s-1.37-go"])
def test_images_that_are_made_here_have_no_name_of_upstream(name: str) -> None:
    release = load(name)
    assert release.bundle is not None, "what is in its images is compiled here, or Debian's"
    assert release.image_repository == "registry.iecpod.internal"
    for image in (release.pause_image, release.nginx_image, release.kube_router_image):
        assert image == "" or image.startswith(f"{release.image_repository}/")


def test_connected_release_pins_what_it_fetches() -> None:
    release = load("k8s-1.37")
    assert release.bundle is None
    assert set(release.image.location) == set(release.image.sha256sums) == set(Arch)
    assert release.image.keyring == "/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg"
    assert [len(manifest.sha256) for manifest in CNIS["calico"].manifests(release)] == [64]
    assert all(repository.key_url.startswith("https://") for repository in release.repositories)
    assert release.helm is not None and set(release.helm.sha256) == set(release.helm.location) == set(Arch)
    assert {"containerd.io=2.*", "iptables"} <= set(release.packages)
    programs = ("kubeadm", "kubelet", "kubectl")
    assert {f"{program}={release.kubernetes_version}-*" for program in programs} <= set(release.packages)


@pytest.mark.parametrize("path", sorted(RELEASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_file_is_named_like_its_release(path: Path) -> None:
    assert load(path.stem).name == path.stem
    assert load(str(path)) == load(path.stem)


def test_unknown_release_lists_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        load("debian13")
    assert caught.value.cause == "there is no release 'debian13'"
    assert caught.value.remedy == "use one of: debian12, iec-r1, k8s-1.37, k8s-1.37-go"


def test_missing_release_file() -> None:
    with pytest.raises(UsageError, match=r"there is no release file nowhere\.yaml"):
        load("./nowhere.yaml")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kubernetes_version": "v1.20.2"}, "kubernetes_version"),
        ({"cnis": []}, "cnis"),
        ({"cnis": ["weave"]}, "cnis[0]"),
        ({"cgroup_driver": "none"}, "cgroup_driver"),
        ({"user": "Ubuntu"}, "user"),
        ({"pause_image": "pause"}, "pause_image"),
    ],
)
def test_wrong_value_is_found(tmp_path: Path, change: dict[str, Any], path: str) -> None:
    problems = problems_of(tmp_path, {**shipped("debian12"), **change})
    assert [problem.split(":")[0] for problem in problems] == [path]


@pytest.mark.parametrize(
    ("cni", "part", "problem"),
    [
        ("flannel", {}, ": the key 'flannel' is missing"),
        ("kube-router", {}, ": the key 'kube_router_image' is missing"),
        ("calico-operator", {}, ": the key 'calico' is missing"),
        ("calico-operator", {"calico": {"manifests": [MANIFEST]}}, "calico: the key 'operator' is missing"),
        ("calico", {"calico": {"operator": [MANIFEST]}}, "calico: the key 'manifests' is missing"),
    ],
)
def test_a_pod_network_needs_its_manifests(tmp_path: Path, cni: str, part: dict[str, Any], problem: str) -> None:
    assert problems_of(tmp_path, {**shipped("debian12"), "cnis": [cni], **part}) == [problem]


def test_a_manifest_is_known_by_its_name_alone(tmp_path: Path) -> None:
    part = {"calico": {"manifests": [MANIFEST], "operator": [MANIFEST]}, "flannel": {"manifests": [MANIFEST]}}
    assert problems_of(tmp_path, {**shipped("debian12"), **part}) == [
        "calico.operator[0].name: a manifest above is named 'x', too",
        "flannel.manifests[0].name: a manifest above is named 'x', too",
    ]


def test_image_needs_what_its_type_needs(tmp_path: Path) -> None:
    data = shipped("k8s-1.37")
    data["image"] = {"type": "url", "location": data["image"]["location"]}
    (problem,) = problems_of(tmp_path, data)
    assert "sha256sums" in problem


def test_calico_needs_manifests(tmp_path: Path) -> None:
    data = shipped("k8s-1.37")
    data["calico"]["manifests"] = []
    (problem,) = problems_of(tmp_path, data)
    assert problem.startswith("calico.manifests: ")
    del data["calico"]
    (problem,) = problems_of(tmp_path, data)
    assert "'calico'" in problem


def test_bundle_is_made_of_packages(tmp_path: Path) -> None:
    data = shipped("debian12")
    data["image"] = shipped("k8s-1.37")["image"]
    (problem,) = problems_of(tmp_path, data)
    assert problem.startswith("image.type")


def test_release_without_bundle_installs_packages(tmp_path: Path) -> None:
    data = shipped("k8s-1.37")
    del data["packages"]
    (problem,) = problems_of(tmp_path, data)
    assert "packages" in problem


def test_all_problems_at_once(tmp_path: Path) -> None:
    data = {**shipped("debian12"), "user": "", "runtime": "podman", "colour": "green"}
    assert len(problems_of(tmp_path, data)) == 3


@pytest.mark.parametrize(
    ("name", "change", "place", "rule"),
    [
        ("debian12", {"kubernetes_version": "1.12.9"}, "kubernetes_version", "release-kubernetes"),
        ("debian12", {"kubernetes_version": "1.38.0"}, "kubernetes_version", "release-kubernetes"),
        ("debian12", {"runtime": "docker", "kubernetes_version": "1.24.0"}, "runtime", "release-runtime"),
        ("k8s-1.37", {"packages": ["containerd.io", "kubeadm"]}, "packages[1]", "release-version-mismatch"),
        ("k8s-1.37", {"packages": ["kubelet=1.37.3-*"]}, "packages[0]", "release-version-mismatch"),
        ("debian12", {"supported_until": "2026-02-30"}, "supported_until", "release-date"),
        ("iec-r1", {"base_os": "ubuntu1604"}, "variants.ubuntu1604", "release-variant"),
        (
            "debian12",
            {"helm": {"version": "4.2.4", "location": {"x86_64": "https://example.org/x"}}},
            "helm.location.x86_64",
            "release-helm",
        ),
    ],
)
def test_values_must_fit_each_other(tmp_path: Path, name: str, change: dict[str, Any], place: str, rule: str) -> None:
    path = tmp_path / "release.yaml"
    path.write_text(dump_yaml_all([{**shipped(name), **change}]))
    with pytest.raises(DescriptorError) as caught:
        load(str(path))
    (problem,) = caught.value.problems
    assert (problem.path, problem.rule, problem.file) == (place, rule, str(path))
    assert problem.line and problem.remedy


def test_the_repository_of_a_minor_version_fits_the_version(tmp_path: Path) -> None:
    data = shipped("k8s-1.37")
    data["repositories"][0]["uri"] = data["repositories"][0]["uri"].replace("v1.37", "v1.35")
    data["repositories"][1]["name"] = "kubernetes"
    assert problems_of(tmp_path, data) == [
        "repositories[0].uri: the repository is for Kubernetes 1.35 alone, and kubernetes_version is of 1.37",
        "repositories[1].name: a repository above is named 'kubernetes', too",
    ]


def test_docker_runs_where_the_kubelet_speaks_to_it(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    path.write_text(dump_yaml_all([{**shipped("debian12"), "runtime": "docker"}]))
    assert load(str(path)).runtime == "docker"


def test_variants_stand_in_for_values_of_the_release() -> None:
    own, variant = load("iec-r1"), load_release("iec-r1", RELEASES, SCHEMAS, "ubuntu1604")
    assert load_release("iec-r1", RELEASES, SCHEMAS, "ubuntu1804") == own
    assert (own.base_os, variant.base_os) == ("ubuntu1804", "ubuntu1604")
    assert [source.suites for source in own.repositories] == [("kubernetes-xenial",), ("bionic",)]
    assert [source.suites for source in variant.repositories] == [("kubernetes-xenial",), ("xenial",)]
    assert "16.04" in variant.image.location[Arch.AARCH64]
    assert (variant.packages, variant.cni_sources, variant.helm) == (own.packages, own.cni_sources, own.helm)


def test_an_operating_system_that_a_release_does_not_have_is_reported() -> None:
    with pytest.raises(UsageError) as caught:
        load_release("iec-r1", RELEASES, SCHEMAS, "centos7")
    assert caught.value.cause == "release iec-r1 has no base image 'centos7'"
    assert caught.value.remedy.startswith("it has ubuntu1804 and ubuntu1604: ")


def test_the_iec_release_is_what_its_text_says() -> None:
    release = load("iec-r1")
    assert (release.kubernetes_version, release.runtime, release.cgroup_driver) == ("1.13.0", "docker", "cgroupfs")
    assert {"docker-ce=18.06.1~ce~3-0~ubuntu", "kubelet=1.13.0-00"} <= set(release.packages)
    assert release.helm is not None and (release.helm.version, release.helm.tiller) == ("2.12.3", True)
    assert release.cni_source("calico").settings["own_etcd"]
    assert [manifest.name for manifest in CNIS["calico"].manifests(release)] == ["etcd", "rbac", "calico"]
