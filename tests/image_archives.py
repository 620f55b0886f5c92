"""Archives of images as docker, podman and buildx write them, made of nothing but bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.images.archives.import_archive import load_image_archive, take_in
from iecpod.release.image_archive import ImageArchive
from tests.fakes import RecordingReporter

Packer = Callable[[bytes], bytes]


def layer(**files: str) -> bytes:
    """An uncompressed layer."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "--stdout", "--quiet"], input=content, capture_output=True, check=True).stdout


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def plain(content: bytes) -> bytes:
    return content


@dataclass(frozen=True)
class Image:
    """`packed` is how its layers are stored in the archive."""

    names: tuple[str, ...] = ("quay.io/calico/node:v3.32.1",)
    layers: tuple[bytes, ...] = (layer(a="1"), layer(b="2"))
    architecture: str = "amd64"
    packed: Packer = plain

    @property
    def config(self) -> bytes:
        diff_ids = [f"sha256:{sha256(content)}" for content in self.layers]
        return json.dumps(
            {
                "architecture": self.architecture,
                "os": "linux",
                "config": {"Cmd": ["/a"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        ).encode()


CALICO = Image()


def docker_files(*images: Image) -> dict[str, bytes]:
    """As docker of before 25 saves them."""
    files: dict[str, bytes] = {}
    manifest = []
    for image in images:
        names = [f"{sha256(content)[:12]}/layer.tar" for content in image.layers]
        files |= {name: image.packed(content) for name, content in zip(names, image.layers, strict=True)}
        config = f"{sha256(image.config)}.json"
        files[config] = image.config
        manifest.append({"Config": config, "RepoTags": list(image.names) or None, "Layers": names})
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def layout_files(*images: Image, named: str = "org.opencontainers.image.ref.name") -> dict[str, bytes]:
    """An OCI layout, each image by its one name."""
    blobs: dict[str, bytes] = {}
    manifests = []
    for image in images:
        manifests.append({**add_manifest(blobs, image), "annotations": {named: image.names[0]}})
    return layout_of(blobs, manifests)


def index_files(name: str, *images: Image, without: Sequence[str] = ()) -> dict[str, bytes]:
    """An OCI layout of one name for several platforms; architectures of `without` are named and not there."""
    blobs: dict[str, bytes] = {}
    entries = []
    for image in images:
        entry = add_manifest({} if image.architecture in without else blobs, image)
        entries.append({**entry, "platform": {"os": "linux", "architecture": image.architecture}})
    entries.append({"digest": f"sha256:{'0' * 64}", "platform": {"os": "unknown", "architecture": "unknown"}})
    index = add_blob(blobs, json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    return layout_of(blobs, [{**index, "annotations": {"io.containerd.image.name": name}}])


def layout_of(blobs: Mapping[str, bytes], manifests: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    index = json.dumps({"schemaVersion": 2, "manifests": list(manifests)}).encode()
    return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **blobs}


def add_blob(blobs: dict[str, bytes], content: bytes) -> dict[str, Any]:
    blobs[f"blobs/sha256/{sha256(content)}"] = content
    return {"digest": f"sha256:{sha256(content)}", "size": len(content)}


def add_manifest(blobs: dict[str, bytes], image: Image) -> dict[str, Any]:
    manifest = {
        "schemaVersion": 2,
        "config": add_blob(blobs, image.config),
        "layers": [add_blob(blobs, image.packed(content)) for content in image.layers],
    }
    return add_blob(blobs, json.dumps(manifest).encode())


def tar_of(files: Mapping[str, bytes], change: Callable[[tarfile.TarFile], None] = lambda tar: None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        change(tar)
    return stream.getvalue()


def write(directory: Path, files: Mapping[str, bytes], packed: Packer = plain) -> Path:
    path = directory / "images.tar"
    path.write_bytes(packed(tar_of(files)))
    return path


def taken_in(directory: Path, *images: Image) -> ImageArchive:
    """In the cache below `directory`."""
    cache = Cache(directory / "cache", RecordingReporter())
    digest = take_in(cache, write(directory, docker_files(*images)))
    return load_image_archive(cache.root, digest)
