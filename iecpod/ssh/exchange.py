"""Standard input, output and exit status of one command on an SSH channel, all at once and within bounds."""

from __future__ import annotations

import mmap
import re
import select
import time
from dataclasses import dataclass
from typing import Protocol

import paramiko

#: What is kept of each output stream; the beginning is dropped beyond it.
MAX_KEPT_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_LINE_BYTES = 1000
#: A daemon that a command left behind may hold the output open; so long is waited for the rest of it.
_AFTER_EXIT_SECONDS = 2.0
_POLL_SECONDS = 0.5
_TRANSPORT_END_SECONDS = 1.0
#: paramiko has no event for room in the send window.
_SEND_POLL_SECONDS = 0.02


class TimeIsUp(Exception):
    """The command ran for longer than it may; `last_line` is the last it printed."""

    def __init__(self, last_line: str) -> None:
        super().__init__(last_line)
        self.last_line = last_line


class Capture:
    """The last `most_bytes` of a stream, by default all that is kept of one; `dropped_bytes` went before."""

    def __init__(self, most_bytes: int = 0) -> None:
        self._kept = bytearray()
        self._most_bytes = min(most_bytes or MAX_KEPT_BYTES, MAX_KEPT_BYTES)
        self.dropped_bytes = 0

    def add(self, chunk: bytes) -> None:
        self._kept += chunk
        excess = len(self._kept) - self._most_bytes
        if excess > 0:
            del self._kept[:excess]
            self.dropped_bytes += excess

    def cut_at(self, end: re.Pattern[bytes], last_bytes: int) -> re.Match[bytes] | None:
        """Drops what matches in its last bytes, and what follows; the match, if there is one."""
        start = max(0, len(self._kept) - last_bytes)
        found = end.search(bytes(self._kept[start:]))
        if found:
            del self._kept[start + found.start() :]
        return found

    def content(self) -> bytes:
        return bytes(self._kept)

    def text(self) -> str:
        note = f"[{self.dropped_bytes} bytes left out]\n" if self.dropped_bytes else ""
        return note + self._kept.decode(errors="replace")

    def last_line(self) -> str:
        lines = self._kept[-_LINE_BYTES:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


@dataclass(frozen=True, slots=True)
class Exchange:
    returncode: int
    stdout: Capture
    stderr: Capture


class Output(Protocol):
    def add(self, chunk: bytes) -> None: ...


def exchange(
    channel: paramiko.Channel,
    stdin: bytes | mmap.mmap,
    timeout_seconds: float,
    before: tuple[bytes, bytes] = (b"", b""),
) -> Exchange:
    """Feeds and drains a channel whose command was started. Raises `TimeIsUp`, or EOFError for a lost connection.

    `before` is what was read already of either output.
    """
    stdout, stderr = Capture(), Capture()
    stdout.add(before[0])
    stderr.add(before[1])
    pending = memoryview(stdin)
    deadline = time.monotonic() + timeout_seconds
    exit_seen_at: float | None = None
    sent_eof = has_ended = False
    while True:
        moved = drain(channel, stdout, stderr)
        if pending and channel.send_ready():
            pending = pending[_send(channel, pending) :]
            moved = True
        elif not pending and not sent_eof:
            channel.shutdown_write()
            sent_eof = True
        now = time.monotonic()
        if channel.exit_status_ready() and not moved:
            exit_seen_at = exit_seen_at or now
            if channel.eof_received or channel.closed or now - exit_seen_at > _AFTER_EXIT_SECONDS:
                break
        if channel.exit_status_ready() and not has_ended:
            has_ended = True  # maybe while this process stood still: that is no command that ran for too long
            deadline = max(deadline, now + _AFTER_EXIT_SECONDS)
        if now >= deadline:
            raise TimeIsUp(stderr.last_line() or stdout.last_line())
        if not moved:
            wait_for_data(channel, _SEND_POLL_SECONDS if pending else min(_POLL_SECONDS, deadline - now))
    while drain(channel, stdout, stderr):
        pass  # what came after the last look, with the exit status behind it
    return Exchange(_exit_status(channel), stdout, stderr)


def _send(channel: paramiko.Channel, pending: memoryview) -> int:
    try:
        return channel.send(pending[:_CHUNK_BYTES].tobytes())
    except OSError:  # the command ended without reading all of its input
        return len(pending)


def drain(channel: paramiko.Channel, stdout: Output, stderr: Output) -> bool:
    """Takes a piece of each output; False where nothing has come."""
    moved = False
    if channel.recv_ready():
        stdout.add(channel.recv(_CHUNK_BYTES))
        moved = True
    if channel.recv_stderr_ready():
        stderr.add(channel.recv_stderr(_CHUNK_BYTES))
        moved = True
    return moved


def wait_for_data(channel: paramiko.Channel, seconds: float) -> None:
    """Sleeps until output comes. At the end of output the descriptor stays readable, so then this is a short sleep."""
    if channel.eof_received or channel.closed:
        time.sleep(min(seconds, _SEND_POLL_SECONDS))
    else:
        output = select.poll()  # select() takes no descriptor from 1024 on
        output.register(channel, select.POLLIN)
        output.poll(seconds * 1000)


def _exit_status(channel: paramiko.Channel) -> int:
    """The status; -1 for a command that a signal killed. Raises EOFError where the connection went before it."""
    status = channel.recv_exit_status()
    transport = channel.get_transport()
    if status == -1:
        transport.join(_TRANSPORT_END_SECONDS)  # a transport that ends closes its channels first
        if not transport.is_active():
            raise EOFError("connection lost")
    return status
