"""Connections that a node makes for this host, over its SSH connection (RFC 4254, section 7.2)."""

from __future__ import annotations

import contextlib
import socket
from selectors import EVENT_READ, DefaultSelector
from threading import Thread

import paramiko

_CHUNK_BYTES = 64 * 1024
_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED


def open_tunnel(transport: paramiko.Transport, address: str, port: int, timeout_seconds: float) -> socket.socket:
    """A socket of this process whose other end is copied to and from a channel, since TLS needs a real socket.

    Raises OSError; PermissionError where the node's sshd forwards nothing.
    """
    try:
        channel = transport.open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout_seconds)
    except paramiko.ChannelException as error:
        if error.code == _PROHIBITED:
            raise PermissionError(f"its SSH server forwards no connections: {error.text}") from error
        raise ConnectionRefusedError(f"the node itself does not reach {address}:{port}: {error.text}") from error
    except (paramiko.SSHException, EOFError) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
    ours, theirs = socket.socketpair()
    Thread(target=_relay, args=(theirs, channel), daemon=True).start()
    return ours


def _relay(near: socket.socket, channel: paramiko.Channel) -> None:
    """Until one of them ends; what a send cannot take at once is waited for."""
    with contextlib.suppress(OSError, EOFError), near, contextlib.closing(channel), DefaultSelector() as selector:
        selector.register(near, EVENT_READ)
        selector.register(channel, EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if channel in ready:
                content = channel.recv(_CHUNK_BYTES)
                if not content:
                    return
                near.sendall(content)
            if near in ready:
                content = near.recv(_CHUNK_BYTES)
                if not content:
                    return
                channel.sendall(content)
