"""The plain files of a tar from outside, read once from beginning to end and bounded.

`tarfile` reads single headers here. It does not walk, since it believes every size: of a file with holes, of a header
that is kept in memory, of a member that ends before it begins.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK_BYTES = 512
_CHUNK_BYTES = 256 * 1024
_MOST_NAME_BYTES = 4096
_MOST_PAX_BYTES = 64 * 1024

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
#: Their sizes are of nothing that follows them.
_WITHOUT_CONTENT = (
    *(tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE),
)


class OddTar(Exception):
    """It is no tar, ends early, or has more than it may."""


@dataclass(frozen=True, slots=True)
class TarBounds:
    """`total_bytes` is of the whole tar, uncompressed."""

    total_bytes: int
    members: int


@dataclass(frozen=True, slots=True)
class TarFile:
    """`name` is as written: it may lead anywhere. `pieces` are to be read before the next file is asked for."""

    name: str
    size_bytes: int
    pieces: Iterator[bytes]

    def content(self) -> bytes:
        return b"".join(self.pieces)


def read_tar(stream: BinaryIO, bounds: TarBounds) -> Iterator[TarFile]:
    """Raises `OddTar`, also for a file with holes, whose size is nothing that has to be there."""
    reader = _Reader(stream, bounds.total_bytes)
    name = ""
    for _ in range(bounds.members):
        header = reader.header()
        if header is None:
            return
        if header.type == tarfile.GNUTYPE_LONGNAME:
            name = _text(reader.all_of(header.size, _MOST_NAME_BYTES).rstrip(b"\0"))
        elif header.type == tarfile.XHDTYPE:
            name = _pax_path(reader.all_of(header.size, _MOST_PAX_BYTES)) or name
        elif header.type in _FILES:
            pieces = reader.pieces(header.size)
            yield TarFile(name or header.name, header.size, pieces)
            for _piece in pieces:
                pass
            name = ""
        elif header.type == tarfile.GNUTYPE_SPARSE:
            raise OddTar("a file with holes is in it")
        else:
            if header.type not in _WITHOUT_CONTENT:
                reader.skip(header.size)
            name = name if header.type in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE) else ""
    raise OddTar(f"more than {bounds.members} members")


class _Reader:
    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        self._stream, self._most_bytes, self._left_bytes = stream, most_bytes, most_bytes

    def header(self) -> tarfile.TarInfo | None:
        """None at the end."""
        block = self._exactly(_BLOCK_BYTES)
        if not block.strip(b"\0"):
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.TarError, ValueError) as error:
            raise OddTar(str(error)) from error
        if header.size < 0:
            raise OddTar("a size is negative")
        return header

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        """Refused at once where there is more than may be."""
        if size_bytes > self._left_bytes:
            raise self._too_much()
        return self._pieces(size_bytes)

    def all_of(self, size_bytes: int, most_bytes: int) -> bytes:
        if size_bytes > most_bytes:
            raise OddTar(f"a header has more than {most_bytes} bytes")
        return b"".join(self.pieces(size_bytes))

    def skip(self, size_bytes: int) -> None:
        for _ in self.pieces(size_bytes):
            pass

    def _pieces(self, size_bytes: int) -> Iterator[bytes]:
        left = size_bytes
        while left:
            piece = self._exactly(min(left, _CHUNK_BYTES))
            left -= len(piece)
            yield piece
        self._exactly(-size_bytes % _BLOCK_BYTES)

    def _exactly(self, size_bytes: int) -> bytes:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise self._too_much()
        content = b""
        while len(content) < size_bytes:
            try:
                piece = self._stream.read(size_bytes - len(content))
            except (EOFError, OSError, zlib.error) as error:
                raise OddTar(str(error)) from error
            if not piece:
                raise OddTar("it ends early")
            content += piece
        return content

    def _too_much(self) -> OddTar:
        return OddTar(f"more than {self._most_bytes} bytes")


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _pax_path(content: bytes) -> str:
    r"""POSIX.1-2001, "pax Extended Header": records `LENGTH KEY=VALUE\n`; the last `path` of them."""
    path, at = "", 0
    while at < len(content):
        digits, _, rest = content[at : at + 10].partition(b" ")
        if not digits.isdigit() or not rest or not len(digits) + 3 <= int(digits) <= len(content) - at:
            raise OddTar("an extended header is damaged")
        record = content[at + len(digits) + 1 : at + int(digits)]
        at += int(digits)
        key, _, value = record.removesuffix(b"\n").partition(b"=")
        path = _text(value) if key == b"path" else path
    return path
