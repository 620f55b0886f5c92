"""Images by digest: from a release to nodes, to registries and into bundles."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from iecpod.cni.registry import CNIS
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText
from iecpod.errors import ImageError
from iecpod.images.bundle.network_release import each_once
from iecpod.release.bundle_manifest import BundleManifest, parse_bundle_manifest
from iecpod.release.bundled import load_bundled_release
from iecpod.release.image_reference import by_digest, digest_of, without_digest
from iecpod.release.release import ProvidedBundle
from iecpod.render.node_files import render_node_files
from tests.unit.cni.calico_of_the_iec import make_tls
from tests.unit.cni.cni_manifests import FLANNEL
from tests.unit.images.bundle.test_bundles import manifest_of
from tests.unit.release.test_release import ROOT, load, problems_of, shipped

DIGEST = "sha256:" + "ab" * 32
TAGGED = "registry.example:5000/a/b:1.2"
PINNED = f"{TAGGED}@{DIGEST}"


def bundled(name: str) -> BundleManifest:
    return parse_bundle_manifest(json.dumps(manifest_of(name)).encode(), "b.tar")


def test_the_parts_of_a_name() -> None:
    assert (digest_of(PINNED), without_digest(PINNED)) == (DIGEST, TAGGED)
    assert (digest_of(TAGGED), without_digest(TAGGED), by_digest(TAGGED)) == ("", TAGGED, TAGGED)
    assert by_digest(PINNED) == f"registry.example:5000/a/b@{DIGEST}"


@pytest.mark.parametrize("digest", ["sha256:" + "AB" * 32, "sha256:ab", "md5:" + "ab" * 32, ""])
def test_a_digest_is_of_one_form(tmp_path: Path, digest: str) -> None:
    (problem,) = problems_of(tmp_path, {**shipped("k8s-1.37"), "nginx_image": f"{TAGGED}@{digest}"})
    assert problem.startswith("nginx_image: ")


def test_images_that_are_made_here_have_none(tmp_path: Path) -> None:
    data = {**shipped("debian12"), "nginx_image": PINNED}
    assert problems_of(tmp_path, data) == [
        "nginx_image: this image is made here of packages, and has no digest beforehand"
    ]


@pytest.mark.parametrize("name", ["k8s-1.37", "iec-r1"])
def test_connected_releases_name_what_nodes_pull_by_digest(name: str) -> None:
    release = load(name)
    assert digest_of(release.pause_image) and digest_of(release.nginx_image)


@pytest.mark.parametrize(("name", "key"), [("debian12", "sandbox_image"), ("k8s-1.37", "sandbox")])
def test_containerd_is_led_to_the_name_that_it_keeps_the_image_by(name: str, key: str) -> None:
    release = dataclasses.replace(load(name), pause_image=PINNED)
    config = render_node_files(release)["/etc/containerd/config.toml"]
    assert f'  {key} = "registry.example:5000/a/b@{DIGEST}"\n' in config


def test_every_image_once_and_by_digest_where_one_is_known() -> None:
    assert each_once([TAGGED, PINNED, "a/c:1", TAGGED]) == (PINNED, "a/c:1")
    assert each_once([PINNED, TAGGED]) == (PINNED,)
    other = f"{TAGGED}@sha256:{'cd' * 32}"
    with pytest.raises(ImageError, match=f"names both {PINNED} and {other}"):
        each_once([PINNED, other])


def test_nodes_from_a_bundle_know_its_images_by_tag(tmp_path: Path) -> None:
    release = load_bundled_release(bundled("k8s-1.37"), tmp_path, ROOT / "schemas")
    assert (release.pause_image, release.nginx_image) == (
        "registry.k8s.io/pause:3.10.2",
        "docker.io/library/nginx:1.30.4",
    )


@pytest.mark.parametrize("from_bundle", [True, False])
def test_manifests_name_images_by_tag_for_nodes_from_a_bundle(
    cluster: DesiredCluster, tmp_path: Path, from_bundle: bool
) -> None:
    image = "ghcr.io/flannel-io/flannel:v0.28.9"
    pinned = f"{image}@{DIGEST}".encode()
    assert image.encode() in FLANNEL.content
    manifest = ManifestText("flannel.yaml", FLANNEL.content.replace(image.encode(), pinned))
    provided = ProvidedBundle(path=tmp_path, manifest=bundled("k8s-1.37"))
    release = dataclasses.replace(load("k8s-1.37"), provided=provided if from_bundle else None)
    wanted = dataclasses.replace(cluster, release=release, cni=CNIS["flannel"])
    patched = wanted.cni.render_manifest([manifest], wanted, make_tls)
    assert (DIGEST in patched.text) is not from_bundle
    assert any(f"image: {image}@{DIGEST} -> {image}" in change for change in patched.changes) is from_bundle
