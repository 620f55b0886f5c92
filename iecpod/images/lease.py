"""Who uses what of a cache: a shared flock(2), held until the process ends; who removes it needs it alone.

The lock is a file of its own that stays, so nobody can hold one on something that has lost its name meanwhile. Its
time is that of the last use.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

#: A cache that can only be read is still a cache.
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

_held: dict[Path, int] = {}


def hold(cache_dir: Path, name: str) -> None:
    """Nobody removes what has that name from here on; a removal under way is waited for, so look only afterwards."""
    path = _lease_file(cache_dir, name)
    descriptor = _held.get(path)
    try:
        if descriptor is None:
            descriptor = _open(path)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            _held[path] = descriptor
        os.utime(descriptor)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise


@contextlib.contextmanager
def alone(cache_dir: Path, name: str) -> Iterator[bool]:
    """Whether no other process holds it; where none does, none can until the block ends.

    What this process held, it lets go.
    """
    path = _lease_file(cache_dir, name)
    used_at = last_use(cache_dir, name)
    descriptor = _held.pop(path, None)
    if descriptor is None:
        descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        if used_at is None:  # that the lock was just made is no use
            os.utime(descriptor, (0, 0))
        yield True
    finally:
        os.close(descriptor)


def is_held(cache_dir: Path, name: str) -> bool:
    """Whether a process holds it in this moment; makes nothing."""
    try:
        descriptor = os.open(_lease_file(cache_dir, name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def last_use(cache_dir: Path, name: str) -> float | None:
    """As Unix time; None where nothing is known of any."""
    try:
        return _lease_file(cache_dir, name).stat().st_mtime or None
    except FileNotFoundError:
        return None


def _lease_file(cache_dir: Path, name: str) -> Path:
    return cache_dir / "locks" / f"{name}.use"


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
