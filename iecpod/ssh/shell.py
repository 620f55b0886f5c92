"""`Shell` over SSH: one connection a node, the POD's key, and only the host key that we gave the node."""

from __future__ import annotations

import contextlib
import gzip
import mmap
import shlex
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from iecpod.adapters.command_trace import trace_call, trace_command
from iecpod.errors import CommandFailed, NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult
from iecpod.ssh.connection import SshConnection
from iecpod.ssh.exchange import Exchange, TimeIsUp, exchange
from iecpod.ssh.root_session import NotStarted, RootSession
from iecpod.ssh.tunnel import open_tunnel

_WRITE_SECONDS = 600.0
#: Three emulated guests that decrypt at once on two cores.
_SLOWEST_BYTES_A_SECOND = 250_000
#: The guest ends a command itself so long after we gave up on it, so that nothing runs on unseen.
_GUEST_GRACE_SECONDS = 5
_TAIL_CHARACTERS = 4000
#: gzip's level: the others cost more time than they save.
_FASTEST = 1
_MOST_FILE_BYTES = 4 * 1024 * 1024

#: The content arrives on stdin; it is seen under its name only when it is complete and has its mode.
_WRITE_FILE = """
umask 022
mkdir -p -- "$(dirname -- "$1")"
temporary=$(mktemp -- "$1.XXXXXXXXXX")
trap 'rm -f -- "$temporary"' EXIT
$4 > "$temporary"
test "$(wc -c < "$temporary")" -eq "$3"
chmod -- "$2" "$temporary"
mv -fT -- "$temporary" "$1"
"""


class SshShell:
    """Commands and files on one node, for one thread at a time, and tunnels for any.

    The first use makes the connection. One that broke is recreated by the next command; the command that it broke under
    is not repeated.
    """

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection
        self._node = connection.node
        self._with_sudo = connection.user != "root"
        self._session: RootSession | None = None

    @property
    def node(self) -> str:
        return self._node

    def connect(self) -> None:
        self._connection.connect()

    def close(self) -> None:
        self._session = None
        self._connection.close()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_seconds: float = 600.0,
        check: bool = True,
    ) -> CommandResult:
        """See `Shell.run`. Output that is not UTF-8 is replaced; of very long output only the end is kept."""
        trace_command(self._node, argv)
        done = self._execute(argv, stdin, timeout_seconds)
        result = CommandResult(done.returncode, done.stdout.text(), done.stderr.text())
        if check and result.returncode != 0:
            raise self._failed(argv, result)
        return result

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._write(path, content, mode, _WRITE_SECONDS)

    def send_file(self, local: Path, path: str, mode: int = 0o644, *, compress: bool = False) -> None:
        size = local.stat().st_size
        if size == 0:
            self.write_file(path, b"", mode)
            return
        seconds = _WRITE_SECONDS + size / _SLOWEST_BYTES_A_SECOND
        # The maps are not closed here: the trace of an error may still hold views of them.
        with local.open("rb") as file:
            if not compress:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._write(path, content, mode, seconds)
                return
            with tempfile.TemporaryFile() as packed:
                with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=_FASTEST) as stream:
                    shutil.copyfileobj(file, stream)
                packed.flush()
                content = mmap.mmap(packed.fileno(), 0, access=mmap.ACCESS_READ)
            self._write(path, content, mode, seconds, packed_from=size)

    def _write(
        self, path: str, content: bytes | mmap.mmap, mode: int, timeout_seconds: float, packed_from: int | None = None
    ) -> None:
        """`packed_from` is the size of what was compressed to `content`."""
        trace_call(self._node, f"write {len(content)} bytes to {path}, mode {mode:o}")
        reader = "cat" if packed_from is None else "gzip -dc"
        size = len(content) if packed_from is None else packed_from
        script = ["sh", "-euc", _WRITE_FILE, "write-file", path, f"{mode:o}", str(size), reader]
        done = self._execute(script, content, timeout_seconds)
        if done.returncode != 0:
            result = CommandResult(done.returncode, done.stdout.text(), done.stderr.text())
            raise self._failed(["write-file", path], result)

    def read_file(self, path: str) -> bytes:
        """Raises `CommandFailed` for a file that cannot be read, or is too long to be held."""
        argv = ["cat", "--", path]
        trace_command(self._node, argv)
        done = self._execute(argv, b"", 600.0, most_bytes=_MOST_FILE_BYTES)
        if done.stdout.dropped_bytes:
            raise CommandFailed(self._node, argv, 1, "it is longer than can be read")
        if done.returncode != 0:
            raise CommandFailed(self._node, argv, done.returncode, done.stderr.text()[-_TAIL_CHARACTERS:])
        return done.stdout.content()

    def open_tunnel(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        """A connection that the node makes, within those seconds of the login. Raises OSError.

        PermissionError is that of a node whose sshd forwards nothing.
        """
        trace_call(self._node, f"tunnel to {address}:{port}")
        try:
            transport = self._connection.transport()
        except NodeUnreachable as error:
            raise OSError(error.cause) from error
        return open_tunnel(transport, address, port, timeout_seconds)

    def _execute(
        self, argv: Sequence[str], stdin: bytes | mmap.mmap, timeout_seconds: float, most_bytes: int = 0
    ) -> Exchange:
        limited = ["timeout", "--kill-after=10", f"{timeout_seconds + _GUEST_GRACE_SECONDS:.0f}", *argv]
        try:
            with self._connection.reachable(f"the connection broke while `{_shown(argv)}` ran"):
                if stdin:
                    return self._run_in_channel(limited, stdin, timeout_seconds)
                return self._run_in_session(limited, timeout_seconds, most_bytes)
        except TimeIsUp as time_is_up:
            awaited = f"{self._node}: `{_shown(argv)}`"
            raise WaitTimeout(awaited, timeout_seconds, time_is_up.last_line) from time_is_up

    def _run_in_channel(self, argv: Sequence[str], stdin: bytes | mmap.mmap, timeout_seconds: float) -> Exchange:
        as_root = ["sudo", "-n", "--"] if self._with_sudo else []
        channel = self._connection.open_channel()
        with contextlib.closing(channel):
            channel.exec_command(shlex.join([*as_root, *argv]))
            return exchange(channel, stdin, timeout_seconds)

    def _run_in_session(self, argv: Sequence[str], timeout_seconds: float, most_bytes: int) -> Exchange:
        """In the session that stands, else in a new one, which is the command's own where root's shell is refused.

        Where a new one does not answer, one over a new connection is tried: the command was not started yet.
        """
        session, self._session = self._session, None
        if session is not None and session.is_usable:
            with contextlib.suppress(NotStarted):
                return self._run_in(session, argv, timeout_seconds, most_bytes)
        try:
            return self._run_in_new_session(argv, timeout_seconds, most_bytes)
        except NotStarted:
            self._connection.close()
        try:
            return self._run_in_new_session(argv, timeout_seconds, most_bytes)
        except NotStarted as not_started:
            raise EOFError(str(not_started)) from not_started

    def _run_in_new_session(self, argv: Sequence[str], timeout_seconds: float, most_bytes: int) -> Exchange:
        """Raises `NotStarted` for a shell of root that does not answer, not for one that ended."""
        session = RootSession(self._connection.open_channel(), with_sudo=self._with_sudo)
        try:
            return self._run_in(session, argv, timeout_seconds, most_bytes)
        except NotStarted as not_started:
            if not_started.end is None:
                raise
            return not_started.end

    def _run_in(self, session: RootSession, argv: Sequence[str], timeout_seconds: float, most_bytes: int) -> Exchange:
        try:
            done = session.run(argv, timeout_seconds, most_bytes)
        except BaseException:
            session.close()
            raise
        if session.is_usable:
            self._session = session
        else:
            session.close()
        return done

    def _failed(self, argv: Sequence[str], result: CommandResult) -> CommandFailed:
        output = "\n".join(part.rstrip() for part in (result.stdout, result.stderr) if part.strip())
        return CommandFailed(self._node, argv, result.returncode, output[-_TAIL_CHARACTERS:])


def _shown(argv: Sequence[str]) -> str:
    command = " ".join(" ".join(argv).split())
    return command if len(command) <= 80 else command[:80] + "…"
