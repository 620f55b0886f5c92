"""Two eBPF programs that put VLAN tags on frames and take them off, as Linux' traffic control runs them.

A VLAN device (module 8021q) does the same in one direction more; kernels of small machines are built without it, and
without `act_vlan`, while traffic control with eBPF is in all of them. Sources: linux/bpf.h, bpf-helpers(7).
"""

from __future__ import annotations

import socket
import struct

#: Offsets in `struct __sk_buff`.
_VLAN_PRESENT, _VLAN_TCI = 20, 24
_VLAN_ID_MASK = 0xFFF
_VLAN_PUSH, _VLAN_POP = 18, 19
_ETH_P_8021Q = 0x8100
#: Verdicts of `tc-bpf(8)` in direct-action mode.
_TC_ACT_OK, _TC_ACT_SHOT = 0, 2

#: Operation codes: class, operation and source of each instruction.
_MOVE, _AND, _LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_UNLESS_EQUAL = 0xB7, 0x57, 0x61, 0x15, 0x55
_CALL, _EXIT = 0x85, 0x95
_R0, _R1, _R2, _R3 = range(4)


def pop_program(vlan: int) -> bytes:
    """Drops what has not this tag, and takes it off the rest."""
    return b"".join(
        (
            _instruction(_MOVE, _R0, immediate=_TC_ACT_SHOT),
            _instruction(_LOAD_WORD, _R2, _R1, offset=_VLAN_PRESENT),
            _instruction(_JUMP_IF_EQUAL, _R2, offset=5, immediate=0),
            _instruction(_LOAD_WORD, _R2, _R1, offset=_VLAN_TCI),
            _instruction(_AND, _R2, immediate=_VLAN_ID_MASK),
            _instruction(_JUMP_UNLESS_EQUAL, _R2, offset=2, immediate=vlan),
            _instruction(_CALL, immediate=_VLAN_POP),
            _instruction(_MOVE, _R0, immediate=_TC_ACT_OK),
            _instruction(_EXIT),
        )
    )


def push_program(vlan: int) -> bytes:
    """Puts this tag on everything."""
    return b"".join(
        (
            _instruction(_MOVE, _R2, immediate=socket.htons(_ETH_P_8021Q)),
            _instruction(_MOVE, _R3, immediate=vlan),
            _instruction(_CALL, immediate=_VLAN_PUSH),
            _instruction(_MOVE, _R0, immediate=_TC_ACT_OK),
            _instruction(_EXIT),
        )
    )


def _instruction(operation: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", operation, target | source << 4, offset, immediate)
