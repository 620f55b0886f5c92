"""Files of the cache: hashed once, and checked by what they look like from then on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.errors import ImageError
from iecpod.files.reader import read_own
from iecpod.files.writer import READABLE, replace_file
from iecpod.outside_json import Bounds, parse_json

_CHUNK_BYTES = 1024 * 1024
#: What is kept of a bundle names each of its files.
_BOUNDS = Bounds(size_bytes=64 * 1024 * 1024, values=2_000_000)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Facts that differ between an untouched file and a changed one, without reading it."""

    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        return cls.from_status(path.stat())

    @classmethod
    def from_status(cls, status: os.stat_result) -> Fingerprint:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    def as_list(self) -> list[int]:
        return [self.size_bytes, self.mtime_ns, self.inode]


def sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def recipe_key(recipe: Mapping[str, Any]) -> str:
    """The digest of a recipe: the same for equal values whatever their order of keys."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, value: object) -> None:
    replace_file(path, json.dumps(value, indent=1, sort_keys=True) + "\n", READABLE)


def read_json(path: Path) -> Any:
    """The value, or None where the file is missing or is not JSON: a cache treats both as not there.

    Raises `PathRefused` where others may change the file: it says of others what they are.
    """
    try:
        return parse_json(read_own(path), ValueError, _BOUNDS).value
    except (OSError, ValueError):
        return None


def plain_status(path: Path) -> os.stat_result | None:
    """None for what is no plain file: a link may lead to what others change."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def place_file(source: Path, target: Path) -> None:
    """Puts a file at `target` too: as a hard link, which costs nothing, or as a copy where that cannot be.

    A file that others may write to is copied: what was checked must not change afterwards.
    """
    with source.open("rb") as content:
        place_open_file(content.fileno(), target)


def place_open_file(descriptor: int, target: Path) -> None:
    """The same for a file that is open, whatever has its name by now."""
    target.parent.mkdir(parents=True, exist_ok=True)
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
        with contextlib.suppress(OSError):
            # With a directory given, Python follows the link: it leads to the open file itself.
            os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)
            return
    with os.fdopen(os.dup(descriptor), "rb") as content, target.open("xb") as file:
        shutil.copyfileobj(content, file)
    target.chmod(0o755 if status.st_mode & 0o100 else 0o644)


@contextmanager
def explain_os_error(doing: str) -> Iterator[None]:
    """Turns what the file system refuses into an `ImageError`; anything else passes through."""
    try:
        yield
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some disk space on the file system of the cache and run again",
            errno.EDQUOT: "free some of the disk quota on the file system of the cache and run again",
            errno.EACCES: "run as root, or choose another cache directory (IECPOD_CACHE_DIR)",
            errno.EROFS: "choose a cache directory that can be written (IECPOD_CACHE_DIR)",
        }
        if error.errno not in remedies:
            raise
        raise ImageError(
            f"{doing}: {error.strerror}: {error.filename or ''}".rstrip(": "), remedies[error.errno]
        ) from error
