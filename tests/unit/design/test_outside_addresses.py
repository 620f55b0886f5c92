"""What nodes reach by address, wherever it is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from iecpod.descriptors.load_pod import load_pod
from iecpod.design.outside_addresses import reached_networks
from iecpod.model import Arch, PodRef, PodSpec
from iecpod.release.file import load_release
from iecpod.release.mirrors import Supply
from iecpod.release.release import CniSource, Release
from tests.unit.command_line import layout_below, write_pod

REGISTRY = "100.100.4.4:5000/k8s"
REF = PodRef("lab", "pod")


@pytest.fixture
def spec(tmp_path: Path) -> PodSpec:
    write_pod(tmp_path, REF.lab, REF.pod)
    return load_pod(str(tmp_path), REF, layout_below(tmp_path).schemas_dir).spec


@pytest.fixture
def release(tmp_path: Path) -> Release:
    layout = layout_below(tmp_path)
    return load_release("debian12", layout.releases_dir, layout.schemas_dir)


def found(spec: PodSpec, release: Release, supply: Supply | None = None) -> list[tuple[str, str]]:
    """Besides those of the IDF."""
    reached = reached_networks(spec, supply or Supply(), release)
    return [(str(taken.cidr), taken.owner) for taken in reached if " IDF" not in taken.owner]


def test_names_are_no_addresses(spec: PodSpec, release: Release) -> None:
    assert found(spec, release) == []


@pytest.mark.parametrize(
    ("change", "owner"),
    [
        ({"image_repository": REGISTRY}, "a registry of release debian12"),
        ({"image_repository": "100.100.4.4"}, "a registry of release debian12"),
        ({"pause_image": f"{REGISTRY}/pause:3.2"}, "a registry of release debian12"),
        ({"nginx_image": f"{REGISTRY}/nginx:1"}, "a registry of release debian12"),
        ({"kube_router_image": f"{REGISTRY}/kube-router:v1"}, "a registry of release debian12"),
        ({"extra_images": (f"{REGISTRY}/a:1", f"{REGISTRY}/b:1")}, "a registry of release debian12"),
        ({"cni_sources": {"calico": CniSource(settings={"registry": REGISTRY})}}, "the registry of calico"),
        (
            {"cni_sources": {"calico": CniSource(image_names={Arch.X86_64: {"quay.io/calico": REGISTRY}})}},
            "the registry of calico",
        ),
    ],
)
def test_registries_by_address(spec: PodSpec, release: Release, change: dict[str, Any], owner: str) -> None:
    assert found(spec, dataclasses.replace(release, **change)) == [("100.100.4.4/32", owner)]


def test_mirrors_of_the_image_by_address(spec: PodSpec, release: Release) -> None:
    image = dataclasses.replace(
        release.image, mirror="http://100.100.1.1/debian", security_mirror="http://172.16.1.9:8080/security"
    )
    changed = dataclasses.replace(release, image=image)
    security = ("172.16.1.9/32", "the security mirror of the release's image")
    assert found(spec, changed) == [("100.100.1.1/32", "the mirror of the release's image"), security]
    given = Supply(apt_mirror="http://mirror.lab.example/debian")
    assert found(spec, changed, given) == [security], "it stands in for the mirror"
