"""The one way to write a file: whole or not at all, on the disk when it has its name, with a stated mode.

A new file is made in the directory of its final name, under a name that cannot be guessed or taken beforehand, and
renamed at the end. The directory is opened once for all of it. So this is safe in a directory where others may write,
such as the workspace of a job: a link that they put at the name is replaced, and what it points to is not touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

#: For the owner alone: keys, kubeconfigs, notes, locks, logs.
PRIVATE = 0o600
#: For everybody who may enter the directory: reports, exports, what the cache holds.
READABLE = 0o644

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Names a finished file: temporary name, final name, and the directory that has both.
_Publish = Callable[[str, str, int], None]


def replace_file(path: Path, content: bytes | str, mode: int) -> None:
    """In one step: a reader finds the whole content or what was there before, also after a crash of the host.

    Raises `OSError` that names `path`. Text is written as UTF-8.
    """
    with new_file(path, mode) as file:
        file.write(_encoded(content))


def create_file(path: Path, content: bytes | str, mode: int) -> None:
    """As `replace_file`, but a file that has the name already stays as it is."""
    with _finished(path, mode, _link) as file:
        file.write(_encoded(content))


@contextlib.contextmanager
def new_file(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A file that gets its name at the end of the block, in place of one that has it; none where the block fails."""
    check_replaceable(path)
    with _finished(path, mode, _rename) as file:
        yield file


def check_replaceable(path: Path) -> None:
    """Raises `OSError` for a name that is that of a device, a pipe or a directory, also by a link.

    A rename would put a plain file in the place of /dev/null or /dev/stdout.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode) or (path.is_symlink() and str(path.readlink()).startswith("/proc/")):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def try_new_file(path: Path) -> None:
    """Raises `OSError` where `new_file` would; tried, since the permissions of root say nothing."""
    check_replaceable(path)
    with _finished(path, PRIVATE, lambda _temporary, _name, _directory: None):
        pass


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory to be filled that gets its name at the end of the block; none where the block fails.

    It is filled through the descriptor of a directory that only its owner may enter: who renames that, or puts a link
    in its place, leads nothing elsewhere. Raises `OSError`, also for a name that is taken meanwhile.
    """
    temporary = f".iecpod-{secrets.token_hex(8)}.tmp"
    with _naming(path, temporary), _opened(path.parent) as parent:
        os.mkdir(temporary, 0o700, dir_fd=parent)
        with _entered(temporary, parent) as own:
            inside = Path(f"/proc/self/fd/{own}")
            try:
                (inside / path.name).mkdir()
                yield inside / path.name
                _sync_below(inside / path.name)
                os.rename(path.name, path.name, src_dir_fd=own, dst_dir_fd=parent)
                os.fsync(parent)
            finally:
                shutil.rmtree(inside / path.name, ignore_errors=True)
                with contextlib.suppress(OSError):  # it is not there any more
                    os.rmdir(temporary, dir_fd=parent)


def open_append(path: Path, mode: int) -> TextIO:
    """Text whose lines are written at once. The file is made with that mode; one that is there keeps its own.

    Raises `OSError` for anything but a plain file with this one name: links of others lead elsewhere, and no one may
    read from a pipe.
    """
    descriptor = os.open(path, _APPEND, mode)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise OSError(errno.EINVAL, "Not a regular file of one name", str(path))
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except BaseException:
        os.close(descriptor)
        raise


def commit_file(temporary: Path, final: Path, mode: int) -> None:
    """Gives a finished file of our own its name; after a crash the name holds the whole file, or nothing."""
    temporary.chmod(mode)
    sync_path(temporary)
    temporary.replace(final)
    sync_path(final.parent)


def commit_tree(temporary: Path, final: Path) -> None:
    """Gives a finished directory its name; as `commit_file`."""
    _sync_below(temporary)
    temporary.replace(final)
    sync_path(final.parent)


def sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_below(directory: Path) -> None:
    for path in sorted(directory.rglob("*")):
        if not path.is_symlink():
            sync_path(path)
    sync_path(directory)


@contextlib.contextmanager
def _entered(name: str, parent: int) -> Iterator[int]:
    """A directory that we have just made. Raises `OSError` where another has its name by now."""
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise OSError(errno.ESTALE, "It was replaced by another process", name)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _finished(path: Path, mode: int, publish: _Publish) -> Iterator[BinaryIO]:
    temporary = f".iecpod-{secrets.token_hex(8)}.tmp"
    with _naming(path, temporary), _opened(path.parent) as directory:
        descriptor = os.open(temporary, _NEW, PRIVATE, dir_fd=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            publish(temporary, path.name, directory)
            os.fsync(directory)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)


@contextlib.contextmanager
def _naming(path: Path, temporary: str) -> Iterator[None]:
    """People know the final name, and no name at all is in the error of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, temporary, str(path.parent)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _rename(temporary: str, name: str, directory: int) -> None:
    os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def _link(temporary: str, name: str, directory: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)


def _encoded(content: bytes | str) -> bytes:
    return content.encode("utf-8", errors="backslashreplace") if isinstance(content, str) else content
