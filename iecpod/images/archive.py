"""Container images as one `docker save` archive: a manifest, a configuration each, layers stored once.

The format is the one that docker and containerd import (Docker Image Specification v1.2).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from iecpod.images.files import sha256_of_file
from iecpod.model import Arch

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerImage:
    """`reference` has a registry and a tag; `layers` are uncompressed tar files, the lowest first."""

    reference: str
    layers: tuple[Path, ...]
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


def write_layer(path: Path, programs: Iterable[Path], directory: str) -> None:
    """A layer that holds executables in `directory`: the same bytes for the same programs."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        parents: list[str] = []
        for part in directory.strip("/").split("/"):
            parents.append(part)
            entry = tarfile.TarInfo("/".join(parents))
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o755
            tar.addfile(entry)
        for program in sorted(programs, key=lambda program: program.name):
            entry = tarfile.TarInfo(f"{directory.strip('/')}/{program.name}")
            entry.mode = 0o755
            entry.size = program.stat().st_size
            with program.open("rb") as content:
                tar.addfile(entry, content)


def write_archive(path: Path, images: Sequence[ContainerImage], arch: Arch) -> None:
    """Writes the archive of all images, in their order; layers that several use are in it once."""
    digests = {layer: sha256_of_file(layer) for image in images for layer in image.layers}
    manifest = []
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for digest, layer in sorted({digest: layer for layer, digest in digests.items()}.items()):
            entry = tarfile.TarInfo(f"{digest}/layer.tar")
            entry.mode = 0o644
            entry.size = layer.stat().st_size
            with layer.open("rb") as content:
                tar.addfile(entry, content)
        for image in images:
            layers = [digests[layer] for layer in image.layers]
            configuration = _render_configuration(image, layers, arch)
            name = f"{hashlib.sha256(configuration).hexdigest()}.json"
            _add_bytes(tar, name, configuration)
            manifest.append(
                {
                    "Config": name,
                    "RepoTags": [image.reference],
                    "Layers": [f"{digest}/layer.tar" for digest in layers],
                }
            )
        _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())


def _render_configuration(image: ContainerImage, layers: Sequence[str], arch: Arch) -> bytes:
    value = {
        "architecture": arch.debian,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": [_PATH, *image.environment], "Cmd": list(image.command) or None, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "iecpod"} for _ in layers],
    }
    return json.dumps(value, sort_keys=True).encode()


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
