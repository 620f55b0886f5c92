"""The one way to read a file that users name: plain files only, since a pipe or device may never end."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from iecpod.files.trusted_paths import check_file

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def is_directory(path: Path) -> bool:
    """False also for what cannot be looked at: who opens it gets the reason."""
    with contextlib.suppress(OSError):
        return path.is_dir()
    return False


def is_file(path: Path) -> bool:
    """As `is_directory`."""
    with contextlib.suppress(OSError):
        return path.is_file()
    return False


def is_there(path: Path) -> bool:
    """As `is_directory`; of anything."""
    with contextlib.suppress(OSError):
        return path.exists()
    return False


def open_regular(path: Path) -> BinaryIO:
    """Raises `OSError` that names `path`, also for what is not a plain file; nothing is waited for."""
    return _opened(path, _READ)[0]


def read_regular(path: Path, most_bytes: int = -1) -> bytes:
    """As `open_regular`; at most so many bytes, where that is not negative."""
    with open_regular(path) as file:
        return file.read(most_bytes)


def read_small(path: Path, most_bytes: int) -> bytes:
    """As `open_regular`, for a file of bounded length: `OSError`, too, for one that is longer."""
    content = read_regular(path, most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"It has more than {most_bytes} bytes", str(path))
    return content


def read_own(path: Path, most_bytes: int = -1) -> bytes:
    """Of a file that iecpod keeps. Raises `OSError`, and `PathRefused` where others may change the file."""
    file, status = _opened(path, _READ | os.O_NOFOLLOW)
    with file:
        check_file(path, status)
        return file.read(most_bytes)


def _opened(path: Path, flags: int) -> tuple[BinaryIO, os.stat_result]:
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            kind = "pipe" if stat.S_ISFIFO(status.st_mode) else "device"
            raise OSError(errno.EINVAL, f"It is a {kind}, not a file", str(path))
        return os.fdopen(descriptor, "rb"), status
    except BaseException:
        os.close(descriptor)
        raise
