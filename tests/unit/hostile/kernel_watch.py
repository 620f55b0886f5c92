"""What a process and all that it starts ask of the kernel, whether by Python or by a library of C: by seccomp(2).

The watched process installs a filter whose calls wait for an answer, and hands the listener over a socket. Whoever
watches notes them, with the paths in the memory of who asks, and lets all of them pass (seccomp_unotify(2)).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
#: By name: numbers for x86_64 and aarch64 (0: none), which arguments are a directory and a path, which holds flags.
_CALLS: dict[str, tuple[tuple[int, int], tuple[tuple[int | None, int], ...], int | None]] = {
    "open": ((2, 0), ((None, 0),), 1),
    "creat": ((85, 0), ((None, 0),), None),
    "openat": ((257, 56), ((0, 1),), 2),
    "openat2": ((437, 437), ((0, 1),), 2),
    "execve": ((59, 221), ((None, 0),), None),
    "execveat": ((322, 281), ((0, 1),), None),
    "unlink": ((87, 0), ((None, 0),), None),
    "unlinkat": ((263, 35), ((0, 1),), None),
    "rename": ((82, 0), ((None, 0), (None, 1)), None),
    "renameat": ((264, 38), ((0, 1), (2, 3)), None),
    "renameat2": ((316, 276), ((0, 1), (2, 3)), None),
    "mkdir": ((83, 0), ((None, 0),), None),
    "mkdirat": ((258, 34), ((0, 1),), None),
    "rmdir": ((84, 0), ((None, 0),), None),
    "link": ((86, 0), ((None, 0), (None, 1)), None),
    "linkat": ((265, 37), ((2, 3),), None),
    "symlink": ((88, 0), ((None, 1),), None),
    "symlinkat": ((266, 36), ((1, 2),), None),
    "mknod": ((133, 0), ((None, 0),), None),
    "mknodat": ((259, 33), ((0, 1),), None),
    "truncate": ((76, 45), ((None, 0),), None),
    "chmod": ((90, 0), ((None, 0),), None),
    "fchmodat": ((268, 53), ((0, 1),), None),
    "chown": ((92, 0), ((None, 0),), None),
    "fchownat": ((260, 54), ((0, 1),), None),
    "connect": ((42, 203), (), None),
}
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_SET_FILTER, _NEW_LISTENER = 1, 8
_NO_NEW_PRIVILEGES = 38
_QUESTION = struct.Struct("=QIIiIQ6Q")
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_PASS = struct.Struct("=QqiI")
_AT_FDCWD = -100
#: Calls that follow a link; all others are of the link itself.
_FOLLOWING = ("open", "creat", "exec", "truncate", "chmod", "fchmodat", "chown")
_LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """`paths` are as the kernel will find them, links followed; `flags` are those of an open, 0 for others."""

    call: str
    paths: tuple[Path, ...]
    flags: int = 0
    address: bytes = b""


def offer_watch(channel: socket.socket) -> None:
    """Of this process, from here on, for whoever has the other end. Raises `OSError` where the kernel refuses."""
    column, architecture, number = _MACHINES[platform.machine()]
    program = b"".join(_instructions(column, architecture))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(code)))
    listener = libc.syscall(ctypes.c_long(number), _SET_FILTER, _NEW_LISTENER, header)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    socket.send_fds(channel, [b"x"], [listener])
    os.close(listener)


def _instructions(column: int, architecture: int) -> Iterator[bytes]:
    yield struct.pack("HBBI", _LOAD, 0, 0, 4)
    yield struct.pack("HBBI", _IF_EQUAL, 1, 0, architecture)
    yield struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)
    yield struct.pack("HBBI", _LOAD, 0, 0, 0)
    for numbers, _, _ in _CALLS.values():
        if numbers[column]:
            yield struct.pack("HBBI", _IF_EQUAL, 0, 1, numbers[column])
            yield struct.pack("HBBI", _RETURN, 0, 0, _ASK)
    yield struct.pack("HBBI", _RETURN, 0, 0, _ALLOW)


class KernelWatch:
    """Answers in a thread until the watched process and all that it started are gone."""

    def __init__(self, channel: socket.socket) -> None:
        _, (self._listener, *_), _, _ = socket.recv_fds(channel, 1, 1)
        column = _MACHINES[platform.machine()][0]
        self._names = {numbers[column]: name for name, (numbers, _, _) in _CALLS.items()}
        self._asked: list[Asked] = []
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def take(self) -> list[Asked]:
        """What was asked since the last time."""
        taken, self._asked = self._asked, []
        return taken

    def _answer(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while not poll.poll()[0][1] & select.POLLHUP:
            question = bytearray(_QUESTION.size)
            with suppress(OSError):  # who asked may have been killed
                fcntl.ioctl(self._listener, _RECEIVE, question)
                identity, pid, _, number, _, _, *arguments = _QUESTION.unpack(question)
                self._note(self._names[number], pid, arguments)
                fcntl.ioctl(self._listener, _SEND, bytearray(_PASS.pack(identity, 0, 0, 1)))
        os.close(self._listener)

    def _note(self, name: str, pid: int, arguments: list[int]) -> None:
        _, places, flags = _CALLS[name]
        if name == "connect":
            self._asked.append(Asked(name, (), address=_memory(pid, arguments[1], arguments[2])))
            return
        follow = name.startswith(_FOLLOWING)
        paths = tuple(_path(pid, None if at is None else arguments[at], arguments[path], follow) for at, path in places)
        value = 0 if flags is None else arguments[flags]
        if name == "openat2":  # the first field of `struct open_how`
            (value,) = struct.unpack("Q", _memory(pid, value, 8))
        self._asked.append(Asked(name, paths, os.O_WRONLY if name == "creat" else value))


def _path(pid: int, directory: int | None, address: int, follow: bool) -> Path:
    text = os.fsdecode(_memory(pid, address, _LONGEST_PATH, until=b"\0").partition(b"\0")[0])
    number = _AT_FDCWD if directory is None else ctypes.c_int(directory & 0xFFFFFFFF).value
    start = f"/proc/{pid}/cwd" if number == _AT_FDCWD else f"/proc/{pid}/fd/{number}"
    if text.startswith("/proc/self/"):
        text = text.replace("self", str(pid), 1)
    base = Path(text) if text.startswith("/") else Path(start).readlink() / text
    return Path(os.path.realpath(base)) if follow or not text else Path(os.path.realpath(base.parent), base.name)


def _memory(pid: int, address: int, size: int, until: bytes = b"") -> bytes:
    """Page by page: the next one may not be there."""
    content = b""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        while len(content) < size and not (until and until in content):
            part = min(size - len(content), 4096 - address % 4096)
            memory.seek(address)
            try:
                content += memory.read(part)
            except OSError:
                break
            address += part
    return content
