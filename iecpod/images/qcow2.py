"""What a qcow2 file rests on, by its header: QEMU itself would have to lock files that guests have open."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQI")
#: A qcow2 of version 3 says there what a reader must know of; the third bit is an external data file.
_INCOMPATIBLE = struct.Struct(">Q")
_INCOMPATIBLE_OFFSET, _EXTERNAL_DATA = 72, 1 << 2
_READ_BYTES = _INCOMPATIBLE_OFFSET + _INCOMPATIBLE.size
_LONGEST_NAME_BYTES = 1023
_DEEPEST_CHAIN = 64


def find_backing(path: Path) -> str | None:
    """The backing file as the header names it (QEMU's docs/interop/qcow2.txt); None where there is none."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        magic, _version, offset, length = _HEADER.unpack(header)
        if magic != _MAGIC or offset == 0:
            return None
        file.seek(offset)
        return file.read(min(length, _LONGEST_NAME_BYTES)).decode(errors="surrogateescape")


def names_other_files(path: Path) -> bool:
    """Whether it is a qcow2 that rests on another file, or that keeps its data in one."""
    with path.open("rb") as file:
        header = file.read(_READ_BYTES).ljust(_READ_BYTES, b"\0")
    magic, version, offset, _length = _HEADER.unpack_from(header)
    (features,) = _INCOMPATIBLE.unpack_from(header, _INCOMPATIBLE_OFFSET) if version >= 3 else (0,)
    return magic == _MAGIC and bool(offset or features & _EXTERNAL_DATA)


def find_chain(path: Path) -> Iterator[Path]:
    """All that the file rests on, nearest first, as far as it is there. Raises `OSError` for what cannot be read."""
    for _ in range(_DEEPEST_CHAIN):
        try:
            backing = find_backing(path)
        except FileNotFoundError:
            return
        if backing is None:
            return
        path = path.parent / backing
        yield path
