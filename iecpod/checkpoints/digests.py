"""Whether files are what their digests say, several at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iecpod.cache.hashed_files import Fingerprint, plain_status, sha256_of_file
from iecpod.checkpoints.manifest import StoredFile
from iecpod.files.trusted_paths import is_ours

#: What was seen of files when they were last hashed.
SEEN = ".seen.json"

#: hashlib lets other threads work while it hashes.
_THREADS = max(2, os.cpu_count() or 1)


@dataclass(slots=True)
class Damage:
    """`reasons` say in words what is wrong with each file that is; `seen` is for the next look."""

    reasons: dict[Path, str] = field(default_factory=dict)
    seen: dict[str, list[int]] = field(default_factory=dict)


def stored_files(paths: Iterable[tuple[str, Path]]) -> list[StoredFile]:
    """Of files by the names that they are to have."""
    named = list(paths)
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = list(pool.map(sha256_of_file, (path for _name, path in named)))
    return [StoredFile(name, digest, path.stat().st_size) for (name, path), digest in zip(named, digests, strict=True)]


def find_damage(
    files: Mapping[Path, tuple[str, int]], known: Mapping[str, Any], *, hash_all: bool | None = None
) -> Damage:
    """Compares each file with its digest and size.

    One that has not changed since it was hashed (`known`) is not hashed again, unless others may change it. `hash_all`
    true hashes each, false none.
    """
    damage = Damage()
    to_hash = []
    for path, (_sha256, size_bytes) in files.items():
        status = plain_status(path)
        if status is None:
            damage.reasons[path] = "it is missing"
        elif status.st_size != size_bytes:
            damage.reasons[path] = f"it has {status.st_size} bytes, not {size_bytes}"
        else:
            fingerprint = Fingerprint.from_status(status).as_list()
            damage.seen[path.name] = fingerprint
            is_known = known.get(path.name) == fingerprint and is_ours(status)
            if hash_all or (hash_all is None and not is_known):
                to_hash.append(path)
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, digest in zip(to_hash, pool.map(sha256_of_file, to_hash), strict=True):
            if digest != files[path][0]:
                damage.reasons[path] = "its digest is another"
                del damage.seen[path.name]
    return damage
