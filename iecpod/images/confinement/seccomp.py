"""A filter of system calls (seccomp) for programs of others: what takes no capability and still leads out, or deep in.

Keys of root's key ring are shared with every process of root. A user namespace gives all capabilities inside it, and
with them most of the kernel. The others are where kernels were broken most often. A program that asks gets an error.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterator

from iecpod.images.confinement.system_calls import filter_calls

#: By name, for x86_64 and aarch64.
_FORBIDDEN = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "setns": (308, 268),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
}
#: As if the kernel had none; programs have another way for it. clone3 has its flags where no filter can see them.
_UNKNOWN = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "clone3": (435, 435),
}
_WITH_FLAGS = {"clone": (56, 220), "unshare": (272, 97)}
_CLONE_NEWUSER = 0x10000000

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
#: Calls of x86_64 with 32-bit pointers have their own numbers from there on.
_X32 = 0x40000000

#: Places in `struct seccomp_data`, and the instructions of classic BPF that are used.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def forbid_calls() -> None:
    """For this process and whatever it runs; it must not gain anything by exec any more. Raises `OSError`."""
    filter_calls(b"".join(_instructions(*_MACHINES[platform.machine()])))


def _instructions(column: int, architecture: int) -> Iterator[bytes]:
    yield _load(_ARCHITECTURE)
    yield from _unless(_IF_EQUAL, architecture, _ERROR | errno.ENOSYS)
    yield _load(_NUMBER)
    yield from _when(_IF_AT_LEAST, _X32, _ERROR | errno.ENOSYS)
    for numbers in _UNKNOWN.values():
        yield from _when(_IF_EQUAL, numbers[column], _ERROR | errno.ENOSYS)
    for numbers in _FORBIDDEN.values():
        yield from _when(_IF_EQUAL, numbers[column], _ERROR | errno.EPERM)
    for numbers in _WITH_FLAGS.values():
        yield _instruction(_IF_EQUAL, numbers[column], 0, 4)
        yield _load(_FIRST_ARGUMENT)
        yield from _when(_IF_SET, _CLONE_NEWUSER, _ERROR | errno.EPERM)
        yield _return(_ALLOW)
    yield _return(_ALLOW)


def _when(test: int, value: int, result: int) -> Iterator[bytes]:
    yield _instruction(test, value, 0, 1)
    yield _return(result)


def _unless(test: int, value: int, result: int) -> Iterator[bytes]:
    yield _instruction(test, value, 1, 0)
    yield _return(result)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _return(result: int) -> bytes:
    return _instruction(_RETURN, result)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """`struct sock_filter`; the last two are how many instructions are left out."""
    return struct.pack("HBBI", code, if_true, if_false, value)
