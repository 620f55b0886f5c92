"""A shell of root on a node, which is given one command after another: sudo runs once a connection.

An emulated guest takes 0.2 s for a session of SSH, and as much as a second for the same with sudo in it.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import time
from collections.abc import Callable, Sequence

import paramiko

from iecpod.ssh.exchange import Capture, Exchange, TimeIsUp, drain, exchange, wait_for_data

_POLL_SECONDS = 0.5
_ANSWER_SECONDS = 60.0
#: What precedes a command's output is ignored; so much of it is looked at.
_MOST_BEFORE = 64 * 1024
_MARK_BYTES = 64
_MOST_SHOWN = 200


class NotStarted(Exception):
    """The session did not take the command; `end` is what a shell that ended had printed, and its status."""

    def __init__(self, why: str, end: Exchange | None = None) -> None:
        super().__init__(why)
        self.end = end


class RootSession:
    """`channel` is a session in which nothing was started yet. Once `run` has raised, `is_usable` is False."""

    def __init__(self, channel: paramiko.Channel, *, with_sudo: bool) -> None:
        self._channel = channel
        self._is_idle = True
        channel.exec_command("sudo -n -- sh" if with_sudo else "sh")

    @property
    def is_usable(self) -> bool:
        return self._is_idle and not self._channel.closed

    def close(self) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # of a connection that is already broken
            self._channel.close()

    def run(self, argv: Sequence[str], timeout_seconds: float, most_bytes: int = 0) -> Exchange:
        """As `exchange`, with no input. Raises `NotStarted` while it is certain that the command was not started.

        With `most_bytes`, a command that prints more is not waited for, as `dropped_bytes` says. The status is a
        shell's: 128 and more for a command that a signal killed.
        """
        self._is_idle = False
        mark = secrets.token_hex(16)
        outputs = _Outputs(self._channel, mark, most_bytes)
        # It is sent only when the shell has answered: a connection that has died meanwhile takes no command with it.
        try:
            self._ask(mark)
            self._await_answer(outputs)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise NotStarted(str(error) or type(error).__name__) from error
        self._send(f"{shlex.join(argv)} < /dev/null; printf '\\n{mark} %d\\n' $?; printf '\\n{mark}\\n' >&2\n")
        return self._await_end(outputs, timeout_seconds, stops_when_dropped=bool(most_bytes))

    def _ask(self, mark: str) -> None:
        """A shell that has ended already takes nothing; what it printed is read with the answer."""
        try:
            self._send(f"echo {mark}; echo {mark} >&2\n")
        except OSError:
            if not self._channel.exit_status_ready():
                raise

    def _send(self, text: str) -> None:
        self._channel.sendall(text.encode())

    def _await_answer(self, outputs: _Outputs) -> None:
        try:
            self._read_until(lambda: outputs.have_started, outputs, _ANSWER_SECONDS)
        except TimeoutError as error:
            missing = outputs.not_started()
            printed = b"".join(missing.values())[-_MOST_SHOWN:].decode(errors="replace").strip()
            said = f"; it printed: {printed}" if printed else ""
            raise TimeoutError(f"{error} on {' and '.join(missing)} within {_ANSWER_SECONDS:g} s{said}") from None
        except EOFError:
            if not self._channel.exit_status_ready():
                raise
            end = exchange(self._channel, b"", _ANSWER_SECONDS, before=outputs.before)
            raise NotStarted("the shell of root ended", end) from None

    def _await_end(self, outputs: _Outputs, timeout_seconds: float, *, stops_when_dropped: bool) -> Exchange:
        def is_over() -> bool:
            return outputs.status is not None or (stops_when_dropped and outputs.stdout.capture.dropped_bytes > 0)

        try:
            self._read_until(is_over, outputs, timeout_seconds)
        except TimeoutError:
            raise TimeIsUp(outputs.stderr.capture.last_line() or outputs.stdout.capture.last_line()) from None
        if outputs.status is None:
            return outputs.exchange(-1)
        self._is_idle = True
        return outputs.exchange(outputs.status)

    def _read_until(self, is_over: Callable[[], bool], outputs: _Outputs, timeout_seconds: float) -> None:
        """Raises `TimeoutError`, also while output comes, and `EOFError` where nothing more can come."""
        deadline = time.monotonic() + timeout_seconds
        while not is_over():
            has_ended = self._channel.exit_status_ready() or self._channel.closed  # before the last look at its output
            moved = outputs.read()
            if has_ended and not moved:
                raise EOFError("the shell of root ended")
            left = deadline - time.monotonic()
            if left <= 0 and not is_over():  # all of it may have come while this process stood still
                raise TimeoutError("the shell of root does not answer")
            if not moved:
                wait_for_data(self._channel, min(_POLL_SECONDS, left))


class _Outputs:
    """Both outputs of one command, between marks."""

    def __init__(self, channel: paramiko.Channel, mark: str, most_bytes: int) -> None:
        self._channel = channel
        self.stdout = _Output(mark, most_bytes)
        self.stderr = _Output(mark)

    def read(self) -> bool:
        """What has come; False where nothing has."""
        return drain(self._channel, self.stdout, self.stderr)

    @property
    def have_started(self) -> bool:
        return self.stdout.has_started and self.stderr.has_started

    def not_started(self) -> dict[str, bytes]:
        """What came before, by output."""
        outputs = {"standard output": self.stdout, "standard error": self.stderr}
        return {name: output.before for name, output in outputs.items() if not output.has_started}

    @property
    def before(self) -> tuple[bytes, bytes]:
        return self.stdout.before, self.stderr.before

    @property
    def status(self) -> int | None:
        """None until both outputs are complete."""
        return self.stdout.status if self.stderr.status is not None else None

    def exchange(self, status: int) -> Exchange:
        return Exchange(status, self.stdout.capture, self.stderr.capture)


class _Output:
    """What comes between the line of the mark and the next one, before which one line end is the session's own."""

    def __init__(self, mark: str, most_bytes: int = 0) -> None:
        self._start = f"{mark}\n".encode()
        self._end = re.compile(rf"\n{mark}(?: ([0-9]{{1,3}}))?\n".encode())
        self.before = b""
        self.capture = Capture(most_bytes)
        self.has_started = False
        self.status: int | None = None

    def add(self, chunk: bytes) -> None:
        if not self.has_started:
            self.before += chunk
            _, started, chunk = self.before.partition(self._start)
            self.has_started = bool(started)
            self.before = self.before[-_MOST_BEFORE:]
        if self.has_started and self.status is None:
            self.capture.add(chunk)
            if end := self.capture.cut_at(self._end, len(chunk) + _MARK_BYTES):
                self.status = int(end[1] or 0)
