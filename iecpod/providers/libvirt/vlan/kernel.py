"""Programs of `programs.py` given to the kernel: loaded by bpf(2), attached to a device by rtnetlink(7)."""

from __future__ import annotations

import ctypes
import enum
import os
import platform
import socket
import struct
from contextlib import suppress

_BPF = {"x86_64": 321, "aarch64": 280}
_BPF_PROG_LOAD, _SCHED_CLS = 5, 3
_LICENSE = b"Apache-2.0"
_LOG_BYTES = 65536

_NEW_QDISC, _NEW_FILTER = 36, 44
_REQUEST_ACK, _CREATE_EXCLUSIVELY = 0x5, 0x600
_KIND, _OPTIONS = 1, 2
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _DIRECT_ACTION = 6, 7, 8, 1
_NESTED = 0x8000
_CLSACT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_FIRST_PRIORITY = 1 << 16
_ETH_P_ALL = 3
_NAME = b"iecpod-vlan\0"


class Direction(enum.Enum):
    """Of frames, as the device sees them; the value is tc's parent of such filters."""

    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


def attach(device: str, direction: Direction, program: bytes) -> None:
    """Has a device of this thread's network namespace run the program on each frame. Raises `OSError`."""
    descriptor = _load(program)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            index = socket.if_nametoindex(device)
            with suppress(FileExistsError):  # for the other direction
                _ask(kernel, _NEW_QDISC, index, _CLSACT_HANDLE, _CLSACT, 0, _attribute(_KIND, b"clsact\0"))
            options = (
                _attribute(_BPF_FD, struct.pack("=I", descriptor))
                + _attribute(_BPF_NAME, _NAME)
                + _attribute(_BPF_FLAGS, struct.pack("=I", _DIRECT_ACTION))
            )
            body = _attribute(_KIND, b"bpf\0") + _attribute(_OPTIONS | _NESTED, options)
            info = _FIRST_PRIORITY | socket.htons(_ETH_P_ALL)
            _ask(kernel, _NEW_FILTER, index, 0, direction.value, info, body)
    finally:
        os.close(descriptor)


def _load(program: bytes) -> int:
    """Its descriptor; once it is attached, the kernel keeps it."""
    code, license_text = ctypes.create_string_buffer(program), ctypes.create_string_buffer(_LICENSE)
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attributes = struct.pack(
        "=IIQQIIQII",
        _SCHED_CLS,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(license_text),
        1,
        _LOG_BYTES,
        ctypes.addressof(log),
        0,
        0,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    number = _BPF[platform.machine()]
    descriptor = int(libc.syscall(number, _BPF_PROG_LOAD, ctypes.create_string_buffer(attributes), len(attributes)))
    if descriptor < 0:
        code_of_error = ctypes.get_errno()
        verdict = log.value.decode(errors="replace").strip()[-500:]
        raise OSError(code_of_error, f"bpf: {os.strerror(code_of_error)} {verdict}".strip())
    return descriptor


def _attribute(kind: int, data: bytes) -> bytes:
    length = len(data) + 4
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)


def _ask(kernel: socket.socket, kind: int, index: int, handle: int, parent: int, info: int, attributes: bytes) -> None:
    """One message about traffic control of a device, and the kernel's answer to it."""
    body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, index, handle, parent, info) + attributes
    header = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST_ACK | _CREATE_EXCLUSIVELY, 1, 0)
    kernel.sendto(header + body, (0, 0))
    code = -struct.unpack_from("=i", kernel.recv(_LOG_BYTES), 16)[0]
    if code:
        raise OSError(code, f"tc: {os.strerror(code)}")
