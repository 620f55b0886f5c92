"""Images that registries gave, each kept under its digest as an archive that container runtimes load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.images.archive import PackedImage, pack_images
from iecpod.images.cache import Cache
from iecpod.images.registry import Registries
from iecpod.model import Arch

_NAME = "image.tar"


@dataclass(frozen=True, slots=True)
class PulledImage:
    """`digest` is that of the image's manifest, as its registry knows it."""

    reference: str
    digest: str
    archive: Path


def pull_image(cache: Cache, registries: Registries, reference: str, arch: Arch) -> PulledImage:
    """What the tag stands for now; what was pulled before is not pulled again. Raises `ImageError`."""
    found = registries.find(reference, arch)

    def make(directory: Path) -> Mapping[str, Any]:
        with cache.staging("layers") as work:
            layers = {}
            for digest in found.layer_digests:
                hexadecimal = digest.removeprefix("sha256:")
                layers[hexadecimal] = work / hexadecimal
                if not layers[hexadecimal].exists():  # empty layers are often there more than once
                    registries.fetch_blob(found, digest, layers[hexadecimal])
            packed = PackedImage(
                reference=reference,
                configuration=registries.read_blob(found, found.config_digest),
                layers=tuple(digest.removeprefix("sha256:") for digest in found.layer_digests),
            )
            pack_images(directory / _NAME, [packed], layers)
        return {}

    recipe = {"reference": reference, "digest": found.digest}
    kept = cache.ensure("pulled-images", recipe, make, f"pulling {reference} for {arch.debian}")
    return PulledImage(reference, found.digest, kept.path / _NAME)
