"""The way to machines that this host reaches by itself."""

from __future__ import annotations

import socket


class DirectWay:
    """`WayIn` without a detour."""

    @property
    def command_prefix(self) -> tuple[str, ...]:
        return ()

    def open_socket(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        return socket.create_connection((address, port), timeout_seconds)
