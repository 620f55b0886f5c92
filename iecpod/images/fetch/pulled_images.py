"""Images that registries gave, each kept under its digest as an archive that container runtimes load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.images.archives.docker_archive import PackedImage, pack_images
from iecpod.images.fetch.container_registry import Registries
from iecpod.model import Arch
from iecpod.release.image_reference import without_digest

_NAME = "image.tar"


@dataclass(frozen=True, slots=True)
class PulledImage:
    """`reference` is without a digest, as the archive has it; `digest` is that of the manifest in the registry."""

    reference: str
    digest: str
    archive: Path


def pull_image(cache: Cache, registries: Registries, reference: str, arch: Arch) -> PulledImage:
    """The image of the digest in `reference`, or what the tag stands for now. Raises `ImageError`.

    What was pulled before is not pulled again.
    """
    found = registries.find(reference, arch)
    name = without_digest(reference)

    def make(directory: Path) -> Mapping[str, Any]:
        with cache.staging("layers") as work:
            layers = {}
            for layer in found.layers:
                hexadecimal = layer.digest.removeprefix("sha256:")
                layers[hexadecimal] = work / hexadecimal
                if not layers[hexadecimal].exists():  # empty layers are often there more than once
                    registries.fetch_layer(found, layer, layers[hexadecimal])
            packed = PackedImage(
                reference=name,
                configuration=registries.read_config(found),
                layers=tuple(layer.digest.removeprefix("sha256:") for layer in found.layers),
            )
            pack_images(directory / _NAME, [packed], layers)
        return {}

    recipe = {"reference": name, "digest": found.digest}
    kept = cache.ensure("pulled-images", recipe, make, f"pulling {reference} for {arch.debian}")
    return PulledImage(name, found.digest, kept.path / _NAME)
