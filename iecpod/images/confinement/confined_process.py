"""A confined program from its start to the end of all its processes: its output, and the limits that it is held to.

Limits that the kernel holds are set by `confined_entry`. Those on time, on room and on what all processes take together
are looked at here, every second: control groups would hold them more strictly, and are not available everywhere.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from iecpod.images.confinement.program import Confinement, Limits
from iecpod.processes import taken_by_children
from iecpod.units import format_age, format_size

_CHUNK_BYTES = 64 * 1024
_LOOK_SECONDS = 1.0
#: How long processes that were killed may take to be gone.
_END_SECONDS = 30.0
#: The host needs some room, whoever fills it.
_RESERVE_BYTES = 512 * 1024**2
#: So much more on the file system, or so long after the last time, is worth a look through the tree.
_STEP_BYTES, _STEP_SECONDS = 1024**3, 60.0
#: Deeper than any tree of a guest, and less than a process may have open.
_DEEPEST = 200
_BLOCK_BYTES = 512


class LimitReached(Exception):
    """In words: what the program did."""


def run_confined(command: Sequence[str], confined: Confinement, log: IO[bytes], most_output: int) -> int:
    """The exit status. Raises `LimitReached` when all processes of the program were ended for it.

    Output comes through a pipe: whoever has the log open could change its mode, or fill the disk with it. In a session
    of its own, since who has our terminal could type into it.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None, "it is a pipe"
        printed = process.stdout.fileno()
        copy = _copier(printed, log, most_output)
        try:
            watch = _Watch(confined.limits, confined.written, process.pid)
            while _has_more(printed, _LOOK_SECONDS, copy):
                watch.look()
            returncode = process.wait()
            check_stored(confined.written, confined.limits)
            return returncode
        except BaseException:
            process.kill()
            _await_end(printed)
            raise


def _copier(descriptor: int, log: IO[bytes], most_bytes: int) -> Callable[[], bool]:
    left = most_bytes

    def copy() -> bool:
        nonlocal left
        chunk = os.read(descriptor, _CHUNK_BYTES)
        log.write(chunk[:left])
        left = max(0, left - len(chunk))
        return bool(chunk)

    return copy


def _has_more(descriptor: int, seconds: float, copy: Callable[[], bool]) -> bool:
    """Copies what is printed in that time; False once no process is left that could print."""
    output = select.poll()  # select() takes no descriptor from 1024 on
    output.register(descriptor, select.POLLIN)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if output.poll(left * 1000) and not copy():
            return False
    return True


def _await_end(descriptor: int) -> None:
    """The pipe ends with the last of them, and then nothing is written any more either."""
    with suppress(OSError):
        _has_more(descriptor, _END_SECONDS, lambda: bool(os.read(descriptor, _CHUNK_BYTES)))


@dataclass(slots=True)
class _Watch:
    limits: Limits
    written: tuple[Path, ...]
    pid: int
    began: float = field(default_factory=time.monotonic)
    looked: float = 0.0
    free_bytes: int = 0

    def __post_init__(self) -> None:
        self.looked, self.free_bytes = self.began, self._free()

    def look(self) -> None:
        """Raises `LimitReached`."""
        if time.monotonic() - self.began > self.limits.seconds:
            raise LimitReached(f"it ran for more than {format_age(self.limits.seconds)}")
        self._look_at_processes()
        self._look_at_room()

    def _look_at_processes(self) -> None:
        processes, memory_bytes = taken_by_children(self.pid)
        if processes > self.limits.processes:
            raise LimitReached(f"it had more than {self.limits.processes} processes")
        if memory_bytes > self.limits.memory_bytes:
            raise LimitReached(f"it took more than {format_size(self.limits.memory_bytes)} of memory")

    def _look_at_room(self) -> None:
        """The file system reports at once how much more is on it, and not whose that is."""
        free, now = self._free(), time.monotonic()
        if self.written and free < _RESERVE_BYTES:
            raise LimitReached(f"it left less than {format_size(_RESERVE_BYTES)} of free disk space")
        step = min(_STEP_BYTES, self.limits.stored_bytes)
        if self.free_bytes - free >= step or now - self.looked > _STEP_SECONDS:
            check_stored(self.written, self.limits)
            self.looked, self.free_bytes = now, free

    def _free(self) -> int:
        found = [os.statvfs(path) for path in self.written]
        return min((status.f_bavail * status.f_frsize for status in found), default=0)


def check_stored(directories: Sequence[Path], limits: Limits) -> None:
    """Raises `LimitReached`, also for what is too deep to be counted."""
    count = _Count(limits)
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        count.add_directory(descriptor, 0)


@dataclass(slots=True)
class _Count:
    """Of a tree that changes meanwhile: no link is followed, what goes is passed over."""

    limits: Limits
    stored_bytes: int = 0
    files: set[tuple[int, int]] = field(default_factory=set)

    def add_directory(self, descriptor: int, depth: int) -> None:
        """Closes it."""
        try:
            if depth > _DEEPEST:
                raise LimitReached(f"it made directories that are more than {_DEEPEST} levels deep")
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._add(entry, descriptor, depth)
        finally:
            os.close(descriptor)

    def _add(self, entry: os.DirEntry[str], parent: int, depth: int) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
            inside = _open_below(entry.name, parent) if entry.is_dir(follow_symlinks=False) else None
        except OSError:
            return
        if (status.st_dev, status.st_ino) not in self.files:
            self.files.add((status.st_dev, status.st_ino))
            self.stored_bytes += status.st_blocks * _BLOCK_BYTES
        if inside is not None:
            self.add_directory(inside, depth + 1)
        if self.stored_bytes > self.limits.stored_bytes:
            raise LimitReached(f"it stored more than {format_size(self.limits.stored_bytes)}")
        if len(self.files) > self.limits.files:
            raise LimitReached(f"it made more than {self.limits.files} files")


def _open_below(name: str, parent: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
