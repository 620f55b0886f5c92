"""Files of a directory with untrusted content: no link in it leads out of it.

openat2(2) (Linux 5.6) resolves a path with the directory as its root or with no link at all. Where the kernel or a
container's filter does not allow it, a walk that refuses every link takes its place, so that less is found, never more.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import functools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: The same number on every architecture but alpha.
_SYS_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10
#: A rename elsewhere in the tree makes openat2 give up.
_TRIES = 32
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Links(enum.IntEnum):
    """What a link in a path means."""

    #: As in a chroot: absolute ones begin at the directory, and `..` of it is itself.
    WITHIN = _IN_ROOT | _NO_MAGICLINKS
    #: There is none; where there is, the path cannot be opened.
    NONE = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Beneath:
    """An open directory. Names are relative to it; methods raise `OSError`, also for what leads out of it."""

    descriptor: int
    links: Links

    @classmethod
    @contextmanager
    def of(cls, directory: Path, links: Links) -> Iterator[Beneath]:
        """The path of the directory itself is the caller's, and links in it are followed."""
        descriptor = os.open(directory, _DIRECTORY)
        try:
            yield cls(descriptor, links)
        finally:
            os.close(descriptor)

    def open(self, name: str, flags: int, mode: int = 0) -> int:
        """A descriptor, as `os.open` gives; nothing that blocks is waited for."""
        flags |= os.O_CLOEXEC if flags & os.O_PATH else os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        if _has_openat2():
            return _openat2(self.descriptor, name, flags, mode, self.links)
        return _walk(self.descriptor, name, flags, mode)

    def open_file(self, name: str) -> int:
        """A regular file, to be read; raises `OSError` for anything else, which is not opened."""
        found = self.open(name, os.O_PATH)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(found)

    def names(self, directory: str) -> list[str]:
        return [name for name, _ in self.entries(directory)]

    def entries(self, directory: str) -> list[tuple[str, bool]]:
        """What is in it, and whether that is a directory itself; a link to one is none."""
        descriptor = self.open(directory, _DIRECTORY)
        try:
            with os.scandir(descriptor) as entries:
                return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        finally:
            os.close(descriptor)

    def write_text(self, name: str, text: str) -> None:
        """A new file (mode 0644) with the directories that lead to it, in the place of whatever had that name."""
        directory, _, last = name.strip("/").rpartition("/")
        parent = self._make_directories(directory)
        try:
            with suppress(FileNotFoundError):
                os.unlink(last, dir_fd=parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(last, flags, 0o600, dir_fd=parent), "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
        finally:
            os.close(parent)

    def _make_directories(self, directory: str) -> int:
        """Opens the last of them."""
        parent = self.open(".", _DIRECTORY)
        reached = ""
        for part in filter(None, directory.split("/")):
            reached += f"{part}/"
            try:
                inner = self.open(reached, _DIRECTORY)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=parent)  # fails for a link that leads nowhere
                inner = self.open(reached, _DIRECTORY)
                os.fchmod(inner, 0o755)
            finally:
                os.close(parent)
            parent = inner
        return parent


def _openat2(directory: int, name: str, flags: int, mode: int, links: int) -> int:
    how = _OpenHow(flags=flags, mode=mode, resolve=links)
    for _ in range(_TRIES):
        descriptor = _libc().syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(os.fsencode(name)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return int(descriptor)
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def _walk(directory: int, name: str, flags: int, mode: int) -> int:
    """Part by part, with no link and no way back."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
    parent = os.open(".", _DIRECTORY, dir_fd=directory)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
            parent = inner
        return os.open(parts[-1] if parts else ".", flags | os.O_NOFOLLOW, mode, dir_fd=parent)
    finally:
        os.close(parent)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _has_openat2() -> bool:
    descriptor = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(_openat2(descriptor, ".", os.O_PATH | os.O_CLOEXEC, 0, Links.NONE))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
