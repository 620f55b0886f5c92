"""Archives for one kind of node: only what its role runs, and compressed."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.archives.docker_archive import ContainerImage, read_image_ids, write_archive
from iecpod.images.archives.node_images import NodeImages, ensure_node_images, node_programs, node_references
from iecpod.model import Arch
from iecpod.release.scenario import Role
from tests.fakes import RecordingReporter
from tests.image_archives import layer

_BASE, _ETCD, _PROXY = (layer(**{name: f"content of {name} " * 200}) for name in ("base", "etcd", "proxy"))
PROXY, ETCD = "registry.test/kube-proxy:v1.37.2", "registry.test:5000/etcd:3.7.3"


@pytest.fixture
def everything(tmp_path: Path) -> NodeImages:
    layers = []
    for number, content in enumerate((_BASE, _ETCD, _PROXY)):
        layers.append(tmp_path / f"layer-{number}.tar")
        layers[-1].write_bytes(content)
    images = (
        ContainerImage(reference=PROXY, layers=(layers[0], layers[2])),
        ContainerImage(reference=ETCD, layers=(layers[0], layers[1])),
    )
    write_archive(tmp_path / "images.tar", images, Arch.X86_64)
    return NodeImages((tmp_path / "images.tar",), (PROXY, ETCD))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", RecordingReporter())


def read(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {name: content.read() for name in tar.getnames() if (content := tar.extractfile(name))}


def test_a_worker_gets_nothing_of_the_control_plane(everything: NodeImages, cache: Cache) -> None:
    worker = ensure_node_images(cache, "key", everything, Role.WORKER)
    assert worker.references == (PROXY,)
    (archive,) = worker.archives
    files = read(archive)
    layers = [gzip.decompress(content) for name, content in files.items() if name.endswith("/layer.tar")]
    assert sorted(layers) == sorted([_BASE, _PROXY])
    assert archive.stat().st_size < everything.archives[0].stat().st_size / 2


def test_images_stay_what_they_are(everything: NodeImages, cache: Cache) -> None:
    """Their ids are those of the uncompressed layers."""
    packed = ensure_node_images(cache, "key", everything, Role.CONTROL_PLANE)
    assert packed.references == everything.references
    assert read_image_ids(packed.archives[0]) == read_image_ids(everything.archives[0])


def test_they_are_packed_once(everything: NodeImages, cache: Cache) -> None:
    first = ensure_node_images(cache, "key", everything, Role.WORKER)
    everything.archives[0].unlink()
    assert ensure_node_images(cache, "key", everything, Role.WORKER) == first


def test_an_archive_with_nothing_for_a_role_is_not_sent(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "layer.tar").write_bytes(_ETCD)
    image = ContainerImage(reference=ETCD, layers=(tmp_path / "layer.tar",))
    write_archive(tmp_path / "etcd.tar", (image,), Arch.X86_64)
    given = NodeImages((tmp_path / "etcd.tar",), (ETCD,))
    assert ensure_node_images(cache, "key", given, Role.WORKER) == NodeImages((), ())


def test_a_compressed_layer_is_taken_as_it_is(tmp_path: Path, cache: Cache) -> None:
    packed = gzip.compress(_BASE, mtime=0)
    (tmp_path / "layer.tar").write_bytes(packed)
    image = ContainerImage(reference=PROXY, layers=(tmp_path / "layer.tar",))
    write_archive(tmp_path / "images.tar", (image,), Arch.X86_64)
    given = NodeImages((tmp_path / "images.tar",), (PROXY,))
    (archive,) = ensure_node_images(cache, "key", given, Role.WORKER).archives
    assert packed in read(archive).values()


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ("nonsense", "images.tar is not an archive of images"),
        (json.dumps([{"Config": "c.json", "RepoTags": [PROXY], "Layers": []}]), "it has no c.json"),
        (json.dumps([{"Config": "manifest.json", "RepoTags": [PROXY], "Layers": ["../x"]}]), r"it has no \.\./x"),
    ],
)
def test_an_archive_that_is_none_is_an_error(tmp_path: Path, cache: Cache, manifest: str, why: str) -> None:
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(manifest)
        tar.addfile(entry, io.BytesIO(manifest.encode()))
    with pytest.raises(ImageError, match=why):
        ensure_node_images(cache, "key", NodeImages((tmp_path / "images.tar",), (PROXY,)), Role.WORKER)


def test_names_decide_what_a_role_needs() -> None:
    names = ("r.test:5000/kube-apiserver:v1", "r.test/kube-scheduler@sha256:00", "r.test/etcd-tools:1", "etcd:3")
    assert node_references(names, Role.CONTROL_PLANE) == names
    assert node_references(names, Role.WORKER) == ("r.test/etcd-tools:1",)
    programs = (Path("bin/helm"), Path("bin/kubeadm"))
    assert node_programs(programs, Role.WORKER) == (Path("bin/kubeadm"),)
    assert node_programs(programs, Role.CONTROL_PLANE) == programs
