"""Helm's programs: fetched as upstream packs them, checked, and kept."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.files.tar import OddTar, TarBounds, read_tar
from iecpod.images.fetch.prebuilt import fetch_bytes
from iecpod.model import Arch
from iecpod.ports import Reporter
from iecpod.release.release import HelmSource
from iecpod.sha256 import SHA256

#: Helm 3 and Tiller are 20 MiB of archive and 120 MiB of programs.
_ARCHIVE_LIMIT_BYTES = 128 * 1024 * 1024
_BOUNDS = TarBounds(total_bytes=512 * 1024 * 1024, members=1000)


def fetch_helm(source: HelmSource, arch: Arch, cache_dir: Path, reporter: Reporter) -> tuple[Path, ...]:
    """`helm`, and `tiller` where the source has it. Raises `ImageError` if they cannot be fetched or verified."""
    names = ("helm", "tiller") if source.tiller else ("helm",)
    if arch not in source.location:
        raise ImageError(f"the release has no Helm for {arch.value}", "give it `helm.location` for that architecture")
    url = source.location[arch]

    def make(directory: Path) -> Mapping[str, Any]:
        digest = source.sha256.get(arch) or _fetch_digest(source.sha256sums[arch])
        archive = fetch_bytes(url, sha256=digest, limit_bytes=_ARCHIVE_LIMIT_BYTES)
        for name in names:
            path = directory / name
            path.write_bytes(_member(archive, name, url))
            path.chmod(0o755)
        return {"sha256": digest}

    recipe = {"version": source.version, "url": url, "programs": list(names)}
    if arch in source.sha256:
        recipe["sha256"] = source.sha256[arch]
    kept = Cache(cache_dir, reporter).ensure("helm", recipe, make, f"fetching Helm {source.version}")
    return tuple(kept.path / name for name in names)


def _fetch_digest(sums_url: str) -> str:
    """The file holds the digest alone, or the archive's name behind it."""
    text = fetch_bytes(sums_url, limit_bytes=4096).decode(errors="replace")
    found = SHA256.match(text.strip())
    if found is None:
        raise ImageError(f"{sums_url} holds no SHA-256", "correct `helm.sha256sums` of the release")
    return found[0]


def _member(archive: bytes, name: str, url: str) -> bytes:
    """The program of that name, from whichever directory of the archive."""
    try:
        with gzip.open(io.BytesIO(archive)) as stream:
            for file in read_tar(cast(BinaryIO, stream), _BOUNDS):
                if PurePosixPath(file.name).name == name:
                    return file.content()
    except OddTar as error:
        raise ImageError(f"{url} is not an archive: {error}", "correct `helm.location` of the release") from error
    raise ImageError(f"{url} holds no program {name}", "correct `helm.location` of the release")
