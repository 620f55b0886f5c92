"""System calls of Linux that Python has no functions for. Each raises `OSError`, naming the call.

Numbers above 423 are the same on every architecture but alpha.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442

MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
ATTR_READ_ONLY, ATTR_NOSUID, ATTR_NODEV = 0x1, 0x2, 0x4
_MNT_DETACH = 2
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_FROM_DESCRIPTOR = 1, 0x4

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
#: One less than outside of all user namespaces, where the last is that of nobody: by this number programs see where
#: they are, and do without what cannot be done here.
_ALL_IDS = 4294967294

_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 38, 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_CAPABILITY_VERSION_3 = 0x20080522


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def copy_of_mount(path: str, attributes: int) -> int:
    """A descriptor of a mount of that file or directory that is nowhere yet (open_tree, Linux 5.2)."""
    descriptor = _call("open_tree", _OPEN_TREE, _AT_FDCWD, path.encode(), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    _set_attributes(descriptor, b"", _AT_EMPTY_PATH, attributes)
    return descriptor


def attach_mount(descriptor: int, target: str) -> None:
    """Puts it there; a link at that place is not followed."""
    _call("move_mount", _MOVE_MOUNT, descriptor, b"", _AT_FDCWD, target.encode(), _MOVE_FROM_DESCRIPTOR)


def restrict_all_mounts(attributes: int) -> None:
    """All that this namespace has (mount_setattr, Linux 5.12)."""
    _set_attributes(_AT_FDCWD, b"/", _AT_RECURSIVE, attributes)


def mount(kind: str, target: str, flags: int, data: str = "") -> None:
    _check("mount", _libc().mount(kind.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()))


def make_root(directory: str) -> None:
    """The mount at `directory` becomes the root, and what was the root is nowhere."""
    os.chdir(directory)
    _call("pivot_root", _PIVOT_ROOT[platform.machine()], b".", b".")
    _check("umount2", _libc().umount2(b".", _MNT_DETACH))
    os.chdir("/")


def enter_user_namespace() -> None:
    """A namespace of users and mounts where all ids are what they were.

    Capabilities hold in it and for its mounts, and count nowhere else; what was mounted stays as it is.
    """
    begin, started = os.pipe()
    mapper = os.fork()
    if not mapper:
        os.close(started)
        os._exit(_map_all_ids(os.getppid(), begin))
    os.close(begin)
    try:
        if _libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNS):
            reason = "Linux allows no user namespace here (sysctl user.max_user_namespaces)"
            raise OSError(errno.EPERM, reason)
        os.write(started, b"1")
    finally:
        os.close(started)
        _, status = os.waitpid(mapper, 0)
    if status:
        raise OSError(errno.EPERM, "the ids of users cannot be mapped")


def _map_all_ids(process: int, begin: int) -> int:
    """By one who stayed outside, since that takes its capabilities; an exit status."""
    try:
        if os.read(begin, 1):
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{process}/{name}").write_text(f"0 0 {_ALL_IDS}\n")
            return 0
    except OSError:
        pass
    return 1


def keep_capabilities(numbers: Iterable[int]) -> None:
    """Gives up all others, for this process and whatever it runs, also as root."""
    kept = set(numbers)
    number = 0
    while (is_there := _prctl(_PR_CAPBSET_READ, number)) >= 0:
        if is_there and number not in kept:
            _check("prctl", _prctl(_PR_CAPBSET_DROP, number))
        number += 1
    _check("prctl", _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL))
    mask = sum(1 << number for number in kept)
    words = [word for half in (mask & 0xFFFFFFFF, mask >> 32) for word in (half, half, 0)]
    header, data = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)(*words)
    _check("capset", _libc().capset(header, data))


def gain_nothing_by_exec() -> None:
    """No set-user-ID program and no file capability has an effect from here on."""
    _check("prctl", _prctl(_PR_SET_NO_NEW_PRIVS, 1))


def filter_calls(program: bytes) -> None:
    """Instructions of classic BPF that judge each system call from here on."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(code)))
    _check("seccomp", _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header)))


def _set_attributes(directory: int, path: bytes, flags: int, attributes: int) -> None:
    value = _MountAttributes(attributes, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(value))
    _call("mount_setattr", _MOUNT_SETATTR, directory, path, flags, ctypes.byref(value), size)


def _call(name: str, number: int, *arguments: Any) -> int:
    return _check(name, _libc().syscall(ctypes.c_long(number), *arguments))


def _prctl(option: int, first: int, second: int = 0) -> int:
    return int(_libc().prctl(option, *map(ctypes.c_ulong, (first, second, 0, 0))))


def _check(name: str, result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
