"""A bundle as it was given, opened once: its manifest, its signature, and what else is in it.

Nothing of it is believed: no link is followed, only plain files are read, and no more of anything than is allowed.
"""

from __future__ import annotations

import io
import itertools
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from iecpod.cache.artifacts import SEEN
from iecpod.errors import UsageError
from iecpod.images.confinement.untrusted_tree import Beneath, Links
from iecpod.release.bundle_manifest import DIRECTORIES, MANIFEST, MOST_FILES, MOST_MANIFEST_BYTES, SIGNATURE

_MOST_SIGNATURE_BYTES = 64 * 1024
_MOST_HEADER_BYTES = 1024 * 1024
_MOST_MEMBERS = 2 * MOST_FILES
_DEEPEST = 8
_REMEDY = "give what `iecpod bundle build` has made"


@dataclass(frozen=True, slots=True)
class Member:
    """One thing in a bundle; `content` is None where it is no plain file: a link, a device, a file with holes.

    `name` can be printed: one that cannot is that of no file of a bundle, and is escaped. `has_own_file` says that
    it is a file of this host, and not a part of an archive.
    """

    name: str
    size_bytes: int = 0
    content: IO[bytes] | None = None
    has_own_file: bool = False


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """`members` are all but manifest and signature, once; each can be read until the next is asked for.

    Those of an archive end where it is cut off, or is no archive any more.
    """

    manifest: bytes
    signature: bytes | None
    members: Iterator[Member]


@contextmanager
def open_bundle(path: Path) -> Iterator[OpenBundle]:
    """Raises `UsageError` where there is none, or where it cannot be read."""
    with ExitStack() as stack:
        with _explained(path):
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                bundle = _read_directory(path, stack.enter_context(Beneath.of(path, Links.NONE)))
            elif stat.S_ISREG(mode):
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
                bundle = _read_archive(path, stack.enter_context(os.fdopen(os.open(path, flags), "rb")))
            else:
                raise UsageError(f"{path} is neither a directory nor a file", _REMEDY)
        yield bundle


def signature_path(bundle: Path) -> Path:
    """Where a signature is that is made of a bundle: in the directory, beside the archive."""
    return bundle / SIGNATURE if bundle.is_dir() else bundle.with_name(f"{bundle.name}.sig")


def _read_directory(path: Path, tree: Beneath) -> OpenBundle:
    manifest = _read_file(tree, MANIFEST, MOST_MANIFEST_BYTES) or b""
    signature = _read_file(tree, SIGNATURE, _MOST_SIGNATURE_BYTES)
    return OpenBundle(manifest, signature, _members_of_directory(path, tree))


def _members_of_directory(path: Path, tree: Beneath) -> Iterator[Member]:
    with _explained(path):
        names = [name for name in _names(tree, ".", _DEEPEST) if name not in (MANIFEST, SIGNATURE, SEEN)]
    for name in names:
        with _explained(path):
            content = _open_file(tree, name)
        if content is None:
            yield Member(_shown(name))
            continue
        with content:
            yield Member(_shown(name), os.fstat(content.fileno()).st_size, content, has_own_file=True)


def _names(tree: Beneath, directory: str, deeper: int) -> Iterator[str]:
    for name, is_directory in tree.entries(directory):
        path = name if directory == "." else f"{directory}/{name}"
        if is_directory and deeper:
            yield from _names(tree, path, deeper - 1)
        else:
            yield path


def _open_file(tree: Beneath, name: str) -> IO[bytes] | None:
    try:
        return os.fdopen(tree.open_file(name), "rb")
    except PermissionError:
        raise
    except OSError:
        return None


def _read_file(tree: Beneath, name: str, most_bytes: int) -> bytes | None:
    content = _open_file(tree, name)
    if content is None:
        return None
    with content:
        return content.read(most_bytes + 1)


def _read_archive(path: Path, file: IO[bytes]) -> OpenBundle:
    """The manifest stands first; a signature is the next, or it is a file beside the archive."""
    members = _members_of_archive(file)
    manifest = _content_of(next(members, None), MANIFEST, MOST_MANIFEST_BYTES)
    second = next(members, None)
    signature = _content_of(second, SIGNATURE, _MOST_SIGNATURE_BYTES)
    if signature is None:
        members = itertools.chain([second] if second else [], members)
        with suppress(OSError), Beneath.of(path.parent, Links.NONE) as beside:
            signature = _read_file(beside, signature_path(path).name, _MOST_SIGNATURE_BYTES)
    return OpenBundle(manifest or b"", signature, members)


def _content_of(member: Member | None, name: str, most_bytes: int) -> bytes | None:
    if member is None or member.name != name or member.content is None:
        return None
    return member.content.read(most_bytes + 1)


def _members_of_archive(file: IO[bytes]) -> Iterator[Member]:
    """Without the directories that a bundle has."""
    headers, end = _Headers(file), -1
    try:
        with tarfile.open(fileobj=cast(IO[bytes], headers), mode="r:") as tar:
            for number, entry in enumerate(tar):
                if entry.offset <= end or number > _MOST_MEMBERS:
                    return  # tarfile can be led round in circles
                headers.left_bytes, end = _MOST_HEADER_BYTES, entry.offset
                if not (entry.isdir() and entry.name in DIRECTORIES):
                    yield _member(file, entry)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, OSError):
        return


def _member(file: IO[bytes], entry: tarfile.TarInfo) -> Member:
    if not entry.isreg() or entry.issparse() or entry.size < 0:
        return Member(_shown(entry.name))
    content = _Part(file.fileno(), entry.offset_data, entry.size)
    return Member(_shown(entry.name), entry.size, io.BufferedReader(content))


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


class _Headers:
    """What tarfile may read of an archive for one member, whatever sizes are written there."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.left_bytes = _MOST_HEADER_BYTES
        self.tell, self.seek, self.close = file.tell, file.seek, lambda: None

    def read(self, size_bytes: int) -> bytes:
        if not 0 <= size_bytes <= self.left_bytes:
            raise tarfile.ReadError("headers are too long")
        self.left_bytes -= size_bytes
        return self._file.read(size_bytes)


class _Part(io.RawIOBase):
    """A part of an open file, which ends early where the file does."""

    def __init__(self, descriptor: int, start: int, size_bytes: int) -> None:
        self._descriptor, self._position, self._end = descriptor, start, start + size_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        content = os.pread(self._descriptor, min(len(view), self._end - self._position), self._position)
        view[: len(content)] = content
        self._position += len(content)
        return len(content)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"there is no bundle {path}", _REMEDY) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give a bundle that can be read") from error
