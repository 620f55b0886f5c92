"""All that is rendered of each shipped release, by operating system and architecture, against files that were read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from iecpod.cni.registry import CNIS
from iecpod.design.cluster import DesiredCluster
from iecpod.model import Arch
from iecpod.release.file import known_releases, load_release, read_release
from iecpod.release.mirrors import Supply
from iecpod.release.release import Release
from iecpod.render.kubeadm import render_init_config, render_join_config
from iecpod.render.low_overhead import render_patches
from iecpod.render.mirror_files import render_apt_conf, render_runtime_files
from iecpod.render.node_files import render_apt_source, render_node_files
from tests.unit.golden_files import GOLDEN, check_golden

ROOT = Path(__file__).parents[3]
RELEASES, SCHEMAS = ROOT / "iecpod/releases", ROOT / "schemas"

SUPPLY = Supply(
    http_proxy="http://proxy.example:3128",
    https_proxy="http://proxy.example:3128",
    no_proxy=("localhost", "172.16.10.0/24", "iec01", ".svc", "registry.example"),
    registry_mirrors={"docker.io": "https://registry.example/hub", "registry.k8s.io": "http://10.0.0.5:5000"},
)


def shipped() -> Iterator[tuple[str, str, Arch]]:
    """Name, operating system and architecture of all that can be deployed."""
    for name in known_releases(RELEASES):
        data = read_release(name, RELEASES, SCHEMAS)
        for base_os in (data["base_os"], *data.get("variants", {})):
            release = load_release(name, RELEASES, SCHEMAS, base_os)
            for arch in Arch:
                if arch in release.image.location or not release.image.location:
                    yield name, base_os, arch


ALL = [pytest.param(*one, id="-".join((one[0], one[1], one[2].value))) for one in shipped()]


def cluster_of(cluster: DesiredCluster, release: Release, arch: Arch) -> DesiredCluster:
    """With the pod network that the release names first."""
    return dataclasses.replace(cluster, release=release, arch=arch, cni=CNIS[release.cnis[0]])


def join_config(cluster: DesiredCluster) -> str:
    return render_join_config(
        cluster,
        cluster.workers[0],
        token="abcdef.0123456789abcdef",
        ca_cert_hash="sha256:" + "0" * 64,
        timeout_seconds=150,
    )


def init_config(cluster: DesiredCluster) -> str:
    return render_init_config(cluster, token="abcdef.0123456789abcdef", timeout_seconds=300)


def as_text(files: Mapping[str, str]) -> str:
    return "\n".join(f"==> {path}\n{text}" for path, text in files.items())


@pytest.mark.parametrize(("name", "base_os", "arch"), ALL)
def test_release_is_rendered_as_read(cluster: DesiredCluster, name: str, base_os: str, arch: Arch) -> None:
    release = load_release(name, RELEASES, SCHEMAS, base_os)
    cluster = cluster_of(cluster, release, arch)
    sources = [render_apt_source(repository) for repository in release.repositories]
    rendered = {
        "init.yaml": init_config(cluster),
        "init-low-overhead.yaml": init_config(dataclasses.replace(cluster, low_overhead=True)),
        "join.yaml": join_config(cluster),
        "join-low-overhead.yaml": join_config(dataclasses.replace(cluster, low_overhead=True)),
        "node-files.txt": as_text(render_node_files(release)),
        "sources.txt": as_text({source.path: source.text for source in sources}),
        "supply-files.txt": as_text(
            {"apt.conf": render_apt_conf(SUPPLY), **render_runtime_files(release, SUPPLY)},
        ),
    }
    patches = render_patches(release.kubernetes_version)
    if patches:
        rendered["init-low-overhead-patches.txt"] = as_text(patches)
    for file, text in rendered.items():
        check_golden(f"releases/{name}/{base_os}-{arch.value}/{file}", text)


def test_no_golden_is_left_of_a_release_that_is_gone() -> None:
    known = {f"{name}/{base_os}-{arch.value}" for name, base_os, arch in shipped()}
    found = {str(path.relative_to(GOLDEN / "releases")) for path in (GOLDEN / "releases").glob("*/*")}
    assert {place for place in found if not place.startswith("manifests/")} == known
