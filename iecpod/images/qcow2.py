"""What a qcow2 file rests on, by its header: QEMU itself would have to lock files that guests have open."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQI")
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
