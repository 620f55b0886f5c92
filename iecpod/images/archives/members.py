"""What is in an archive of images from outside: its plain files, each with its digest.

Names in the archive are keys, and never become paths of this host.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from iecpod.errors import UsageError
from iecpod.files.tar import OddTar, TarBounds, TarFile, read_tar
from iecpod.images.confinement.program import FOR_ONE_PACKAGE, of_this_host
from iecpod.images.confinement.tool import read_confined
from iecpod.outside_json import Bounds, Json, parse_json

_GIB = 1024**3
#: Uncompressed; images of a whole CNF have some GiB.
MOST_BYTES = 16 * _GIB
_BOUNDS = TarBounds(total_bytes=MOST_BYTES, members=20_000)
_MOST_JSON_BYTES = 4 * 1024 * 1024
_JSON_BOUNDS = Bounds(size_bytes=_MOST_JSON_BYTES, depth=32)
_MOST_PADDING_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
#: zstd's own bound is 128 MiB for what is compressed without --ultra and --long: a larger window is refused.
_ZSTD_COMMAND = ("zstd", "--decompress", "--stdout", "--quiet", "--memory=128MB", "--")


def is_compressed(beginning: bytes) -> bool:
    """With gzip or zstd, by its first bytes."""
    return beginning.startswith((_GZIP, _ZSTD))


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file of the archive, kept at `path`; `sha256` (hex) is of its bytes as they are there."""

    name: str
    path: Path
    size_bytes: int
    sha256: str

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class Members:
    """All plain files by name; `file` is the archive as messages call it."""

    file: str
    members: dict[str, Member]

    def refuse(self, why: str, remedy: str = "") -> UsageError:
        return refused(self.file, why, remedy)

    def find(self, name: str) -> Member | None:
        return self.members.get(name.removeprefix("./"))

    def content(self, member: Member) -> bytes:
        """Of a configuration, a manifest or an index. Raises `UsageError` for a longer one."""
        if member.size_bytes > _MOST_JSON_BYTES:
            raise self.refuse(f"{member.name} has {member.size_bytes} bytes, and at most {_MOST_JSON_BYTES} are read")
        return member.path.read_bytes()

    def json(self, member: Member) -> Json:
        def refuse(why: str) -> UsageError:
            return self.refuse(f"{member.name}: {why}")

        return parse_json(self.content(member), refuse, _JSON_BOUNDS)


def refused(file: str, why: str, remedy: str = "") -> UsageError:
    return UsageError(f"{file} is not an archive of images that can be used: {why}", remedy or _REMEDY)


_REMEDY = "write it with `docker save IMAGE... -o FILE`, or as an OCI archive; tar, also with gzip or zstd"


def unpack_members(archive: Path, file: str, directory: Path, log_path: Path) -> Members:
    """Writes all plain files of the archive to `directory`, under names of ours. Raises `UsageError`, `ImageError`."""
    found: dict[str, Member] = {}
    try:
        with open_uncompressed(archive, log_path) as stream:
            for number, entry in enumerate(read_tar(stream, _BOUNDS)):
                name = _checked_name(file, entry.name)
                if name in found:
                    raise refused(file, f"{name} is in it more than once")
                found[name] = _keep(entry, name, directory / str(number))
            _drain(stream)
    except OddTar as error:
        raise refused(file, str(error)) from error
    return Members(file, found)


def _checked_name(file: str, name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or not name.isprintable():
        raise refused(file, f"the name {name!a} leads out of it")
    return str(path)


def _keep(entry: TarFile, name: str, path: Path) -> Member:
    digest = hashlib.sha256()
    with path.open("wb") as kept:
        for piece in entry.pieces:
            digest.update(piece)
            kept.write(piece)
    return Member(name, path, entry.size_bytes, digest.hexdigest())


def _drain(stream: BinaryIO) -> None:
    """To the end, as the program that uncompresses expects it: behind a tar there is padding."""
    left = _MOST_PADDING_BYTES
    while piece := _read(stream):
        left -= len(piece)
        if left < 0:
            raise OddTar(f"more than {_MOST_PADDING_BYTES} bytes behind its end")


def uncompress(member: Member, target: Path, most_bytes: int, log_path: Path) -> str:
    """Writes what the member holds to `target`; the SHA-256 (hex) of that. Raises `OddTar`, also for more bytes."""
    digest, left = hashlib.sha256(), most_bytes
    with open_uncompressed(member.path, log_path) as stream, target.open("wb") as kept:
        while piece := _read(stream):
            left -= len(piece)
            if left < 0:
                raise OddTar(f"more than {most_bytes} bytes")
            digest.update(piece)
            kept.write(piece)
    return digest.hexdigest()


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(_CHUNK_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise OddTar(str(error)) from error


def open_uncompressed(path: Path, log_path: Path) -> AbstractContextManager[BinaryIO]:
    """A file of ours as what it is without gzip or zstd, by how it begins; any other file as it is.

    zstd is a program that reads what others made, so it is confined. What it could not read raises `ImageError` with
    what it said, unless it is noticed before.
    """
    with path.open("rb") as file:
        begin = file.read(len(_ZSTD))
    if begin == _ZSTD:
        confined = of_this_host(limits=FOR_ONE_PACKAGE, readable=[path], capabilities=())
        purpose = "uncompressing an archive of images"
        return read_confined([*_ZSTD_COMMAND, str(path)], purpose=purpose, log_path=log_path, confined=confined)
    return _open_plain(path, is_gzip=begin.startswith(_GZIP))


@contextmanager
def _open_plain(path: Path, *, is_gzip: bool) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        if not is_gzip:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as stream:
            yield cast(BinaryIO, stream)
