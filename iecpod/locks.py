"""Locks between processes: flock(2) on files that only their owner can open, so that no other user can hold one.

The kernel frees a lock when its holder ends, whatever files are left. No wait is silent or endless: whoever waits says
for which process, and gives up with an error that names it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from iecpod.errors import HostError
from iecpod.files.writer import PRIVATE
from iecpod.processes import other_processes

#: For what takes moments: making, sweeping and removing directories. Longer than any of it on a slow disk.
SHORT_SECONDS = 60.0

_POLL_SECONDS = 0.05
_SLOW_POLL_SECONDS = 0.5

#: Is given the holder, such as `process 12 (iecpod)`; an empty text where it cannot be found out.
Notify = Callable[[str], None]


class LockTimeout(HostError):
    """Somebody held a lock for longer than iecpod ever does."""

    def __init__(self, path: Path, holder: str, seconds: float) -> None:
        super().__init__(
            f"{path} is locked by {holder or 'another process'}, and was not free within {seconds:g} s",
            "end that process if it is not iecpod: no other program should use that file. Else run the command again",
        )
        self.holder = holder


def open_lock(path: Path) -> int:
    """The lock file, made where it is missing; to be closed by the caller. Raises `OSError`.

    One that an older version left readable for others is closed to them.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        if stat.S_IMODE(status.st_mode) != PRIVATE and status.st_uid == os.geteuid():
            os.fchmod(descriptor, PRIVATE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Whether the lock could be taken at once; it is held until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int, path: Path, *, seconds: float, notify: Notify, shared: bool = False) -> None:
    """Takes the lock. Raises `LockTimeout` where it does not come free; reports whom it waits for."""
    start = time.monotonic()
    is_reported = False
    while not try_lock(descriptor, shared=shared):
        waited = time.monotonic() - start
        if waited >= seconds:
            raise LockTimeout(path, holder_of(path), seconds)
        if not is_reported:
            notify(holder_of(path))
            is_reported = True
        pause = _POLL_SECONDS if waited < 1 else _SLOW_POLL_SECONDS
        time.sleep(min(pause, seconds - waited))


@contextlib.contextmanager
def locked(path: Path, *, seconds: float, notify: Notify) -> Iterator[None]:
    """Holds the lock for the block. Raises `LockTimeout`, `OSError`."""
    descriptor = open_lock(path)
    with closing(descriptor):
        wait_for_lock(descriptor, path, seconds=seconds, notify=notify)
        yield


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether the lock is free; where it is, no other process takes it until the block ends."""
    descriptor = open_lock(path)
    with closing(descriptor):
        yield try_lock(descriptor)


@contextlib.contextmanager
def closing(descriptor: int) -> Iterator[None]:
    """Frees what it holds at the end of the block."""
    try:
        yield
    finally:
        os.close(descriptor)


def holder_of(path: Path) -> str:
    """Other processes that hold the lock, as words; those of other users are found by root only."""
    return ", ".join(_holders(path))


def _holders(path: Path) -> Iterator[str]:
    try:
        wanted = path.stat()
    except OSError:
        return
    for process in other_processes():
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            if any(_is_locked(process, entry.name, wanted) for entry in (process / "fd").iterdir()):
                yield f"process {process.name} ({(process / 'comm').read_text(errors='replace').strip()})"


def _is_locked(process: Path, descriptor: str, wanted: os.stat_result) -> bool:
    """proc(5): `fdinfo` lists the locks that an open file holds."""
    try:
        if not os.path.samestat((process / "fd" / descriptor).stat(), wanted):
            return False
        return "\nlock:" in (process / "fdinfo" / descriptor).read_text()
    except FileNotFoundError:  # closed while we looked
        return False
