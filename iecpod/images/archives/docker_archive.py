"""Container images as one `docker save` archive: a manifest, a configuration each, layers stored once.

The format is the one that docker and containerd import (Docker Image Specification v1.2).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from iecpod.cache.hashed_files import sha256_of_file
from iecpod.errors import ImageError
from iecpod.files.tar import OddTar, TarBounds, read_tar
from iecpod.model import Arch
from iecpod.outside_json import parse_json

_MANIFEST = "manifest.json"
_MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024
_MOST_MEMBERS = 10_000
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerImage:
    """`reference` has a registry and a tag; `layers` are uncompressed tar files, the lowest first.

    `labels` are those of the OCI Image Specification ("Pre-Defined Annotation Keys").
    """

    reference: str
    layers: tuple[Path, ...]
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def write_layer(path: Path, programs: Iterable[Path], directory: str, links: Mapping[str, str] | None = None) -> None:
    """A layer that holds executables in `directory` (empty: the root): the same bytes for the same programs.

    `links` are symbolic links of that directory, the target by the name.
    """
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        place = PurePosixPath(directory.strip("/"))
        for parent in [*reversed(place.parents[:-1]), place] if place.parts else []:
            entry = tarfile.TarInfo(str(parent))
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o755
            tar.addfile(entry)
        for program in sorted(programs, key=lambda program: program.name):
            entry = tarfile.TarInfo(str(place / program.name))
            entry.mode = 0o755
            entry.size = program.stat().st_size
            with program.open("rb") as content:
                tar.addfile(entry, content)
        for name, target in sorted((links or {}).items()):
            entry = tarfile.TarInfo(str(place / name))
            entry.type = tarfile.SYMTYPE
            entry.linkname = target
            tar.addfile(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedImage:
    """An image as an archive holds it: its configuration, and the digests (hex) of its layers' files, lowest first."""

    reference: str
    configuration: bytes
    layers: tuple[str, ...]

    @property
    def image_id(self) -> str:
        """What container runtimes know it by."""
        return hashlib.sha256(self.configuration).hexdigest()


def write_archive(path: Path, images: Sequence[ContainerImage], arch: Arch) -> None:
    """Writes the archive of all images, in their order; layers that several use are in it once."""
    digests = {layer: sha256_of_file(layer) for image in images for layer in image.layers}
    packed = []
    for image in images:
        layers = tuple(digests[layer] for layer in image.layers)
        configuration = _render_configuration(image, layers, arch)
        packed.append(PackedImage(reference=image.reference, configuration=configuration, layers=layers))
    pack_images(path, packed, {digest: layer for layer, digest in digests.items()})


def pack_images(path: Path, images: Sequence[PackedImage], layers: Mapping[str, Path]) -> None:
    """Writes an archive of finished configurations; `layers` are files by digest, compressed or not."""
    manifest = []
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for digest, layer in sorted(layers.items()):
            entry = tarfile.TarInfo(f"{digest}/layer.tar")
            entry.mode = 0o644
            entry.size = layer.stat().st_size
            with layer.open("rb") as content:
                tar.addfile(entry, content)
        configurations = {f"{image.image_id}.json": image.configuration for image in images}
        for name, configuration in configurations.items():
            _add_bytes(tar, name, configuration)
        for image in images:
            name = f"{image.image_id}.json"
            manifest.append(
                {
                    "Config": name,
                    "RepoTags": [image.reference],
                    "Layers": [f"{digest}/layer.tar" for digest in image.layers],
                }
            )
        _add_bytes(tar, _MANIFEST, json.dumps(manifest).encode())


def read_image_ids(path: Path) -> dict[str, str]:
    """The id of each image of an archive, by reference. Raises `ImageError` for what `pack_images` has not written."""

    def refuse(why: str) -> ImageError:
        return ImageError(f"{path} is not an archive of images: {why}", "remove it from the cache, and run again")

    try:
        with path.open("rb") as stream:
            bounds = TarBounds(total_bytes=path.stat().st_size, members=_MOST_MEMBERS)
            files = (file for file in read_tar(stream, bounds) if file.name == _MANIFEST)
            manifest = next((file.content() for file in files if file.size_bytes <= _MANIFEST_LIMIT_BYTES), b"")
    except OddTar as error:
        raise refuse(str(error)) from error
    ids: dict[str, str] = {}
    for entry in parse_json(manifest, refuse).as_entries():
        image_id = entry.text("Config").removesuffix(".json")
        ids.update((reference.as_text(), image_id) for reference in entry.entries("RepoTags"))
    return ids


def _render_configuration(image: ContainerImage, layers: Sequence[str], arch: Arch) -> bytes:
    config: dict[str, Any] = {
        "Env": [_PATH, *image.environment],
        "Cmd": list(image.command) or None,
        "WorkingDir": "/",
    }
    if image.entrypoint:
        config["Entrypoint"] = list(image.entrypoint)
    if image.labels:
        config["Labels"] = dict(image.labels)
    value = {
        "architecture": arch.debian,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "iecpod"} for _ in layers],
    }
    return json.dumps(value, sort_keys=True).encode()


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
