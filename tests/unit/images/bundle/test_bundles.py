"""What a bundle says of itself, what images it is to hold, and how a node installs it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from iecpod.design.manifest_text import ManifestText
from iecpod.errors import DescriptorError, UsageError
from iecpod.images.build.release_images import ReleaseImages
from iecpod.model import Arch
from iecpod.release.bundle_manifest import (
    BUNDLE_VERSION,
    BundleManifest,
    bundle_dir,
    parse_bundle_manifest,
    read_bundle_manifest,
)
from iecpod.release.bundled import load_bundled_release
from iecpod.release.file import load_release, read_release
from iecpod.release.image_reference import full_reference
from iecpod.release.release import ImageSourceType, ProvidedBundle, Release
from iecpod.render.bundle_install import import_script, install_script, render_bundle_files
from iecpod.render.manifest_patch import image_names
from tests.fakes import RecordingReporter
from tests.unit.command_line import run

ROOT = Path(__file__).parents[4]
RELEASES, SCHEMAS = ROOT / "iecpod/releases", ROOT / "schemas"
ENTRY = {"size_bytes": 1, "sha256": "0" * 64}


def load(name: str) -> Release:
    return load_release(name, RELEASES, SCHEMAS)


def manifest_of(release: str, /, **changes: Any) -> dict[str, Any]:
    data = read_release(release, RELEASES, SCHEMAS)
    facts = {
        "bundle_version": BUNDLE_VERSION,
        "release": {key: value for key, value in data.items() if key != "variants"},
        "arch": "x86_64",
        "base": {"file": "base/image.qcow2", "format": "qcow2", "virtual_size_bytes": 1 << 30},
        "images": [],
        **changes,
    }
    return {"recipe": {}, "facts": facts, "files": {"base/image.qcow2": ENTRY}}


def parse(data: object) -> BundleManifest:
    return parse_bundle_manifest(json.dumps(data).encode(), "b.tar")


def taken_in(cache_dir: Path, data: object) -> Path:
    """Where a bundle of that manifest is in the cache, without its files."""
    content = json.dumps(data).encode()
    path = bundle_dir(cache_dir, hashlib.sha256(content).hexdigest())
    path.mkdir(parents=True)
    (path / "manifest.json").write_bytes(content)
    return path


def test_a_manifest_of_another_version_is_distinguished_from_none() -> None:
    parse(manifest_of("k8s-1.37"))
    with pytest.raises(UsageError) as caught:
        parse(manifest_of("k8s-1.37", bundle_version=99))
    assert caught.value.cause == f"b.tar is a bundle of version 99, and this iecpod reads version {BUNDLE_VERSION}"


@pytest.mark.parametrize(
    "name",
    [
        "../base/image",
        "base/../../x",
        "/etc/passwd",
        "base",
        "base/",
        "base/.seen",
        "debs/a/b.deb",
        "other/x",
        "base/a\n",
    ],
)
def test_a_file_that_leaves_the_bundle_makes_it_none(name: str) -> None:
    data = manifest_of("k8s-1.37")
    data["files"][name] = ENTRY
    with pytest.raises(UsageError, match=r"b\.tar is not a bundle"):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [
        *([], {}, {"facts": []}, {"facts": {}, "files": {}}, manifest_of("k8s-1.37", arch="s390x")),
        *(manifest_of("k8s-1.37", images=[{"reference": "x"}]), manifest_of("k8s-1.37", base=None)),
        manifest_of("k8s-1.37", base={"file": "base/other", "format": "", "virtual_size_bytes": 0}),
        {**manifest_of("k8s-1.37"), "files": {"base/image.qcow2": {"size_bytes": "1", "sha256": "0" * 64}}},
        {**manifest_of("k8s-1.37"), "files": {"base/image.qcow2": {"size_bytes": 1, "sha256": "0"}}},
    ],
)
def test_what_is_no_manifest_is_no_bundle(data: object) -> None:
    with pytest.raises(UsageError, match=r"b\.tar is not a bundle"):
        parse(data)


def test_a_release_in_a_bundle_has_no_sources_left(tmp_path: Path) -> None:
    data = manifest_of("iec-r1")
    data["files"] |= {f"manifests/{name}.yaml": ENTRY for name in ("etcd", "rbac", "calico")}
    path = taken_in(tmp_path, data)
    manifest = read_bundle_manifest(path)
    release = load_bundled_release(manifest, path, SCHEMAS)
    assert release.provided == ProvidedBundle(path=path, manifest=manifest)
    assert (release.provided.digest, release.provided.arch) == (path.name, Arch.X86_64)
    assert release.repositories == ()
    assert [entry.file for entry in release.manifests] == [
        f"{path}/manifests/{name}.yaml" for name in ("etcd", "rbac", "calico")
    ]
    assert release.packages == load("iec-r1").packages
    manifest = dataclasses.replace(manifest, release={**manifest.release, "cnis": ["none"]})
    with pytest.raises(DescriptorError, match=r"release is not a valid release"):
        load_bundled_release(manifest, tmp_path, SCHEMAS)


def test_a_manifest_that_is_not_in_the_bundle_is_as_it_was(tmp_path: Path) -> None:
    """It is not verified, and a warning says so when its pod network is chosen."""
    data = manifest_of("k8s-1.37")
    data["files"] |= {f"manifests/{name}.yaml": ENTRY for name in ("calico", "operator-crds", "tigera-operator")}
    path = taken_in(tmp_path, data)
    release = load_bundled_release(read_bundle_manifest(path), path, SCHEMAS)
    assert {entry.name: bool(entry.file) for entry in release.manifests} == {
        **dict.fromkeys(("calico", "operator-crds", "tigera-operator"), True),
        "flannel": False,
    }


def test_images_of_bundles_are_distinguished(tmp_path: Path) -> None:
    """By the bundle's digest: what another holds was made of other packages."""
    manifest = parse(manifest_of("k8s-1.37"))

    def key(name: str, digest: str, *, baked: bool = True, runtime: str = "containerd") -> str:
        provided = ProvidedBundle(path=tmp_path, manifest=dataclasses.replace(manifest, digest=digest))
        release = dataclasses.replace(load(name), provided=provided, runtime=runtime)
        return ReleaseImages(release, tmp_path, "", RecordingReporter(), baked).key(Arch.X86_64)

    assert len({key("debian12", "a"), key("debian12", "b"), key("debian12", "a", baked=False)}) == 3
    assert key("k8s-1.37", "a") == key("k8s-1.37", "a", baked=False) != key("k8s-1.37", "b")
    docker = {"runtime": "docker"}
    assert key("debian12", "a", **docker) == key("debian12", "a", baked=False, **docker)  # type: ignore[arg-type]
    plain = ReleaseImages(load("debian12"), tmp_path, "", RecordingReporter()).key(Arch.X86_64)
    assert plain != key("debian12", "a")


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("calico/node:v3", "docker.io/calico/node:v3"),
        ("quay.io/coreos/etcd:v3.3.9", "quay.io/coreos/etcd:v3.3.9"),
        ("lab:5000/a", "lab:5000/a:latest"),
        ("localhost/a:1", "localhost/a:1"),
        ("quay.io/a/b@sha256:00", "quay.io/a/b@sha256:00"),
    ],
)
def test_names_are_completed_as_runtimes_do(name: str, full: str) -> None:
    assert full_reference(name) == full


def test_images_of_manifests_are_renamed_as_for_the_cluster() -> None:
    text = """
kind: Deployment
metadata: {name: d}
spec:
  template:
    spec:
      initContainers: [{name: i, image: quay.io/a:1}]
      containers: [{name: c, image: quay.io/b:1}, {name: e, image: quay.io/a:1}]
---
kind: Service
metadata: {name: s}
"""
    manifests = [ManifestText("m.yaml", text.encode())]
    assert image_names(manifests, {}) == ("quay.io/a:1", "quay.io/b:1")
    assert image_names(manifests, {"quay.io/b": "quay.io/b-arm64"}) == ("quay.io/a:1", "quay.io/b-arm64:1")


@pytest.mark.parametrize("name", ["debian12", "k8s-1.37", "iec-r1"])
def test_scripts_of_every_release_are_shell(name: str) -> None:
    script = install_script(load(name)) + import_script(load(name))
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_packages_are_all_installed_where_the_image_is_known_and_chosen_elsewhere() -> None:
    known, fetched = install_script(load("debian12")), install_script(load("k8s-1.37"))
    assert "dpkg --unpack" in known and "apt-get" not in known
    assert "dpkg --unpack" not in fetched
    assert "from_bundle install -- 'containerd.io=2.*' 'kubeadm=1.37.2-*'" in fetched
    assert "install -m 755" in known and "install -m 755" not in fetched
    assert "apt-mark hold kubeadm kubelet kubectl" in fetched and "apt-mark" not in known
    connected = dataclasses.replace(load("debian12"), bundle=None, packages=("kubeadm",), runtime="docker")
    assert connected.image.type is ImageSourceType.MMDEBSTRAP and "dpkg --unpack" in install_script(connected)
    assert "systemctl enable docker.service kubelet.service" in install_script(connected)
    assert "docker load" in import_script(connected) and "ctr" not in import_script(connected)


def test_a_unit_of_the_kubelet_is_written_where_no_package_brings_it() -> None:
    unit = "/etc/systemd/system/kubelet.service"
    assert unit in render_bundle_files(load("debian12"))
    assert unit not in render_bundle_files(load("k8s-1.37"))


@pytest.mark.parametrize("verb", ["verify", "show"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, verb: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tar").write_text("no archive")
    for name, cause in (("nowhere", "there is no bundle nowhere"), ("empty", "empty is not a bundle")):
        error = run(tmp_path, "bundle", verb, name).exception
        assert isinstance(error, UsageError) and error.cause == cause
    error = run(tmp_path, "bundle", verb, "text.tar").exception
    assert isinstance(error, UsageError) and error.cause == "text.tar is not a bundle"
