"""Keys that sign apt repositories: by URL or from a file of this host, and compared with what the release says."""

from __future__ import annotations

from pathlib import Path

from iecpod.errors import ImageError
from iecpod.files.reader import read_small
from iecpod.images.fetch.openpgp import key_ring, primary_fingerprints
from iecpod.images.fetch.prebuilt import fetch_bytes
from iecpod.release.release import AptRepository

_KEY_LIMIT_BYTES = 1024 * 1024


def fetch_key(repository: AptRepository) -> bytes:
    """The key ring that signs a repository, without armour.

    Raises `ImageError` if it cannot be fetched, or does not have exactly the keys that the release names.
    """
    if "://" in repository.key_url:
        content = fetch_bytes(repository.key_url, limit_bytes=_KEY_LIMIT_BYTES)
    else:
        content = _read(repository)
    try:
        ring = key_ring(content)
        found = primary_fingerprints(ring) if repository.key_fingerprint else ()
    except ValueError as error:
        raise ImageError(f"{repository.key_url} is not a key ring: {error}", _remedy(repository)) from None
    if set(found) != set(repository.key_fingerprint):
        raise ImageError(
            f"{repository.key_url} holds the keys {', '.join(found)}, and not what the release names for its "
            f"repository {repository.name}: {', '.join(repository.key_fingerprint)}",
            "find out whether upstream has changed its key; if so, write the new fingerprint into a copy of the "
            f"release, or give the key as a file: --repository-key {repository.name}=FILE",
        )
    return ring


def _read(repository: AptRepository) -> bytes:
    try:
        return read_small(Path(repository.key_url), _KEY_LIMIT_BYTES)
    except OSError as error:
        raise ImageError(f"{repository.key_url}: {error.strerror}", _remedy(repository)) from error


def _remedy(repository: AptRepository) -> str:
    if "://" in repository.key_url:
        return "correct `key_url` of the release, or the server"
    return f"correct --repository-key {repository.name}"
