"""Directories and files whose content iecpod believes: only root and the user who runs iecpod may change them.

Who may write a directory, or one on the way to it, can put other images, keys and notes there, which iecpod would use
with its own permissions. A sticky directory such as /tmp on the way is no harm: what is ours in it, others can neither
rename nor remove.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from iecpod.errors import PathRefused
from iecpod.layout import Layout

_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
#: As the kernel: path_resolution(7).
_MOST_LINKS = 40


def check_layout(layout: Layout) -> None:
    """Raises `PathRefused` for state, cache or runtime directory. What does not exist yet is made by its user alone.

    PODs are not looked at here: one with a fault must not keep others from being seen. Nor are artifacts, which are
    when they are used, and what libvirtd keeps in the cache, which it gives to QEMU's user.
    """
    check_directory(layout.state_dir, levels=1)
    check_directory(layout.cache_dir, levels=1)
    check_directory(layout.cache_dir / "images", levels=1)
    check_directory(layout.runtime_dir, levels=2)


def check_directory(directory: Path, *, levels: int = 0) -> None:
    """The directory, the way to it, and so many levels of directories below it, as far as they exist.

    Raises `PathRefused`, also where it is a file or cannot be looked at.
    """
    try:
        _check_way(directory)
        if levels:
            for entry in _entries(directory):
                if entry.is_dir():  # a link to a file is for its reader to refuse
                    check_directory(Path(entry.path), levels=levels - 1)
    except PathRefused:
        raise
    except OSError as error:
        raise PathRefused(
            f"{directory} cannot be used: {error.strerror}: {error.filename}",
            "use another directory (-S, IECPOD_STATE_DIR, IECPOD_CACHE_DIR, IECPOD_RUNTIME_DIR)",
        ) from error


def make_directory(directory: Path, mode: int = 0o755) -> None:
    """With its parents, if it is not there; never for others to write, whatever the umask.

    Raises `PathRefused` where another process was quicker, `OSError` where it cannot be made.
    """
    for path in reversed((directory, *directory.parents)):
        if not path.exists():
            with suppress(FileExistsError):
                path.mkdir(mode=mode if path == directory else 0o755)
    check_directory(directory)


def is_ours(status: os.stat_result) -> bool:
    """Whether only root and this user may change what has that status."""
    return _is_trusted(status.st_uid) and not _is_writable(status)


def check_file(path: Path, status: os.stat_result) -> None:
    """Raises `PathRefused` for a file that others may change."""
    if not is_ours(status):
        raise _changeable(path, status, "remove it: iecpod makes it again, or says what else to do")


def _check_way(directory: Path) -> None:
    for path, status, is_last in _way(directory):
        is_link = stat.S_ISLNK(status.st_mode)
        if not is_link and not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        if not _is_trusted(status.st_uid) or (not is_link and _is_open(status, is_last)):
            raise _changeable(path, status, _remedy(path, status))


def _way(directory: Path) -> Iterator[tuple[Path, os.stat_result, bool]]:
    """Each path on the way from the root, links and what they lead through included; ends where something is missing.

    The flag marks the directory itself.
    """
    current, links = Path("/"), 0
    left = deque(directory.absolute().parts[1:])
    yield current, current.lstat(), not left
    while left:
        part = left.popleft()
        path = current.parent if part == ".." else current / part
        try:
            status = path.lstat()
        except FileNotFoundError:
            return
        yield path, status, not left
        if not stat.S_ISLNK(status.st_mode):
            current = path
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(directory))
        target = path.readlink()
        current = Path("/") if target.is_absolute() else current
        left.extendleft(reversed([part for part in target.parts if part != "/"]))


def _is_open(status: os.stat_result, is_last: bool) -> bool:
    """Whether others may put something in the place of what is in that directory."""
    if is_last:
        return bool(status.st_mode & _BY_OTHERS)
    if status.st_mode & stat.S_ISVTX:
        return False
    return bool(status.st_mode & (stat.S_IWOTH if _is_group_of_one(status.st_gid) else _BY_OTHERS))


def _is_group_of_one(gid: int) -> bool:
    """The group that many systems make for each user; with their umask 002, home directories are open to it."""
    with suppress(KeyError):
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
        return user.pw_uid != 0 and (user.pw_gid, user.pw_name) == (gid, group.gr_name) and not group.gr_mem
    return False


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    """None of what does not exist, or went while we looked."""
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        return list(entries)
    return []


def _changeable(path: Path, status: os.stat_result, remedy: str) -> PathRefused:
    reasons = [] if _is_trusted(status.st_uid) else [f"it belongs to {_user_name(status.st_uid)}"]
    reasons += [f"its mode is {stat.S_IMODE(status.st_mode):04o}"] if _is_writable(status) else []
    return PathRefused(f"{path} is not used, since others may change it: {', and '.join(reasons)}", remedy)


def _remedy(path: Path, status: os.stat_result) -> str:
    """The commands that help where nothing was put there yet."""
    commands = [] if _is_trusted(status.st_uid) else [f"chown -h {_user_name(os.geteuid())} {path}"]
    commands += [f"chmod go-w {path}"] if _is_writable(status) else []
    return (
        f"if no other user has put anything there, {' and '.join(f'`{command}`' for command in commands)}; else use "
        "another directory (-S, IECPOD_STATE_DIR, IECPOD_CACHE_DIR, IECPOD_RUNTIME_DIR)"
    )


def _is_trusted(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _is_writable(status: os.stat_result) -> bool:
    """For group or others; a link has no mode of its own."""
    return not stat.S_ISLNK(status.st_mode) and bool(status.st_mode & _BY_OTHERS)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
