"""What a qcow2 file rests on, by its header: QEMU itself would have to lock files that guests have open."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"QFI\xfb"
_SUFFIX = ".qcow2"
_HEADER = struct.Struct(">4sIQI")
#: A qcow2 of version 3 says there what a reader must know of; the third bit is an external data file.
_INCOMPATIBLE = struct.Struct(">Q")
_INCOMPATIBLE_OFFSET, _EXTERNAL_DATA = 72, 1 << 2
_SIZE, _SIZE_OFFSET = struct.Struct(">Q"), 24
_READ_BYTES = _INCOMPATIBLE_OFFSET + _INCOMPATIBLE.size
_LONGEST_NAME_BYTES = 1023
_DEEPEST_CHAIN = 64


def find_backing(path: Path) -> str | None:
    """The backing file as the header names it (QEMU's docs/interop/qcow2.txt); None where there is none.

    Raises `ValueError` where the header does not say it, `OSError` where it cannot be read.
    """
    with _open_disk(path) as file:
        header = file.read(_READ_BYTES)
        if header[: len(_MAGIC)] != _MAGIC:
            if path.suffix == _SUFFIX:
                raise ValueError(f"{path}: it has no header of a qcow2 disk")
            return None
        if len(header) < _READ_BYTES:
            raise ValueError(f"{path}: its header is cut off")
        if _features(header) & _EXTERNAL_DATA:
            raise ValueError(f"{path}: it keeps its data in a file of another name")
        _magic, _version, offset, length = _HEADER.unpack_from(header)
        if offset == 0:
            return None
        file.seek(offset)
        name = file.read(min(length, _LONGEST_NAME_BYTES))
        if not name or len(name) < length:
            raise ValueError(f"{path}: its header does not name its backing file")
        return name.decode(errors="surrogateescape")


def virtual_size_bytes(path: Path) -> int:
    """The size of the disk that a guest sees. Raises `ValueError` for what is no qcow2, `OSError`."""
    with _open_disk(path) as file:
        header = file.read(_SIZE_OFFSET + _SIZE.size)
    if header[: len(_MAGIC)] != _MAGIC or len(header) < _SIZE_OFFSET + _SIZE.size:
        raise ValueError(f"{path}: it has no header of a qcow2 disk")
    return int(_SIZE.unpack_from(header, _SIZE_OFFSET)[0])


def _open_disk(path: Path) -> BinaryIO:
    """Raises `OSError` for what is neither file nor block device, and might be waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is no disk", str(path))
    return os.fdopen(descriptor, "rb")


def _features(header: bytes) -> int:
    _magic, version, _offset, _length = _HEADER.unpack_from(header)
    return int(_INCOMPATIBLE.unpack_from(header, _INCOMPATIBLE_OFFSET)[0]) if version >= 3 else 0


def is_qcow2(path: Path) -> bool:
    """By its first bytes. Raises `OSError`."""
    with _open_disk(path) as file:
        return file.read(len(_MAGIC)) == _MAGIC


def names_other_files(path: Path) -> bool:
    """Whether it is a qcow2 that rests on another file, or that keeps its data in one."""
    with path.open("rb") as file:
        header = file.read(_READ_BYTES).ljust(_READ_BYTES, b"\0")
    magic, _version, offset, _length = _HEADER.unpack_from(header)
    return magic == _MAGIC and bool(offset or _features(header) & _EXTERNAL_DATA)


def find_chain(path: Path) -> Iterator[Path]:
    """All that the file rests on, nearest first, as far as it is there. Raises as `find_backing`."""
    for _ in range(_DEEPEST_CHAIN):
        try:
            backing = find_backing(path)
        except FileNotFoundError:
            return
        if backing is None:
            return
        path = path.parent / backing
        yield path
