"""Who uses what of a cache: a shared flock(2), held until the process ends; who removes it needs it alone.

The lock is a file of its own that stays, so no process can hold one on something that has lost its name meanwhile. Its
time is that of the last use.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from iecpod.files.trusted_paths import make_directory
from iecpod.locks import Notify, open_lock, try_lock, wait_for_lock

#: A cache that can only be read is still a cache.
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

#: A removal asks libvirt, which may take its time, for everybody who needs what it removes.
REMOVAL_SECONDS = 300.0

_held: dict[Path, int] = {}


def hold(cache_dir: Path, name: str, notify: Notify, *, patience_seconds: float = REMOVAL_SECONDS) -> None:
    """Nobody removes what has that name from here on; a removal under way is waited for, so look only afterwards.

    Reports which process it waits for. Raises `LockTimeout` if that takes longer than a removal.
    """
    path = _lease_file(cache_dir, name)
    descriptor = _held.get(path)
    try:
        if descriptor is None:
            descriptor = _open(path)
            try:
                wait_for_lock(descriptor, path, seconds=patience_seconds, notify=notify, shared=True)
            except BaseException:
                os.close(descriptor)
                raise
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
        if not try_lock(descriptor):
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
        descriptor = os.open(_lease_file(cache_dir, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def last_use(cache_dir: Path, name: str) -> float | None:
    """As Unix time; None where nothing is known of any."""
    try:
        return _lease_file(cache_dir, name).stat().st_mtime or None
    except FileNotFoundError:
        return None


def _lease_file(cache_dir: Path, name: str) -> Path:
    return cache_dir / "locks" / f"{name}.use"


def _open(path: Path) -> int:
    make_directory(path.parent)
    return open_lock(path)
