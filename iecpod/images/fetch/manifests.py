"""Manifests of a release: fetched once, checked and kept, or taken from a file of the lab's owner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.design.manifest_text import ManifestText
from iecpod.errors import ImageError
from iecpod.files.reader import read_small
from iecpod.images.fetch.prebuilt import fetch_bytes
from iecpod.ports import Reporter
from iecpod.release.release import Manifest

_NAME = "manifest.yaml"
_LIMIT_BYTES = 10 * 1024 * 1024


def load_manifest(manifest: Manifest, cache_dir: Path, reporter: Reporter) -> ManifestText:
    """Raises `ImageError` if it cannot be fetched, or does not match its digest."""
    if manifest.file:
        return ManifestText(manifest.file, _read(Path(manifest.file), manifest.name))
    if not manifest.sha256:
        raise ImageError(
            f"the manifest {manifest.name} has no digest to check {manifest.url} against",
            f"give a file that you trust: --manifest {manifest.name}=FILE",
        )

    def make(directory: Path) -> Mapping[str, Any]:
        (directory / _NAME).write_bytes(fetch_bytes(manifest.url, sha256=manifest.sha256, limit_bytes=_LIMIT_BYTES))
        return {}

    recipe = {"url": manifest.url, "sha256": manifest.sha256}
    kept = Cache(cache_dir, reporter).ensure("manifests", recipe, make, f"fetching {manifest.url}")
    return ManifestText(manifest.url, (kept.path / _NAME).read_bytes())


def _read(path: Path, name: str) -> bytes:
    try:
        return read_small(path, _LIMIT_BYTES)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}", f"correct the file given for --manifest {name}") from error
