"""`Shell` over SSH: one connection a node, the POD's key, and only the host key that we gave the node."""

from __future__ import annotations

import base64
import contextlib
import gzip
import logging
import mmap
import shlex
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paramiko

from iecpod.adapters.command_trace import trace_call, trace_command
from iecpod.errors import CommandFailed, NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult
from iecpod.ssh.exchange import Exchange, TimeIsUp, exchange
from iecpod.ssh.tunnel import open_tunnel
from iecpod.ssh_login import Login

#: Opens a TCP connection to (address, port) within seconds; `HypervisorHost.open_socket` is one.
OpenSocket = Callable[[str, int, float], socket.socket]

_TCP_SECONDS = 5.0
#: An emulated guest that is busy takes long to send its banner and longer to check a key.
_BANNER_SECONDS = 60.0
_AUTH_SECONDS = 120.0
_CHANNEL_SECONDS = 60.0
_KEEPALIVE_SECONDS = 15
_WRITE_SECONDS = 600.0
#: Three emulated guests that decrypt at once on two cores.
_SLOWEST_BYTES_A_SECOND = 250_000
#: A peer that acknowledges nothing for so long is gone; the kernel alone would try for a quarter of an hour.
_DEAD_PEER_MILLISECONDS = 90_000
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

# paramiko reports what it also raises; without a handler that would land on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _HostKeyUnknown(Exception):
    pass


class _RejectUnknown(paramiko.MissingHostKeyPolicy):
    """For a server that offers a key of another type than the pinned one."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise _HostKeyUnknown(key.get_name())


class SshShell:
    """Commands and files on one node. One thread may use it at a time; the connection is made by the first use.

    A connection that broke is recreated by the next command; the command that it broke under is not repeated.
    `host_key` is the node's public key as in `PodKeys.host_key`. With `login`, that is used and not the POD's key.
    The remedies are those of `NodeEndpoint`.
    """

    def __init__(
        self,
        node: str,
        address: str,
        *,
        user: str,
        private_key_file: Path,
        host_key: str,
        open_socket: OpenSocket,
        port: int = 22,
        login: Login | None = None,
        refused_remedy: str = "",
        mismatch_remedy: str = "",
    ) -> None:
        self._node = node
        self._address = address
        self._port = port
        self._user = user
        self._private_key_file = private_key_file
        self._host_key = _public_key(host_key)
        self._login = login
        self._refused_remedy = refused_remedy
        self._mismatch_remedy = mismatch_remedy
        self._open_socket = open_socket
        self._client: paramiko.SSHClient | None = None

    @property
    def node(self) -> str:
        return self._node

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
            self.connect()
        except NodeUnreachable as error:
            raise OSError(error.cause) from error
        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise ConnectionError("not connected")
        return open_tunnel(transport, address, port, timeout_seconds)

    def connect(self) -> None:
        """Makes the connection unless it stands. Raises `NodeUnreachable`; a node that is not up takes seconds."""
        if self._is_connected():
            return
        self.close()
        with self._reachable("no connection"):
            connection = self._open_socket(self._address, self._port, _TCP_SECONDS)
            try:
                self._client = self._log_in(connection)
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _is_connected(self) -> bool:
        transport = self._client.get_transport() if self._client else None
        return transport is not None and transport.is_active()

    def _log_in(self, connection: socket.socket) -> paramiko.SSHClient:
        with contextlib.suppress(OSError):  # not TCP: no such option
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MILLISECONDS)
        client = paramiko.SSHClient()
        pinned_name = self._address if self._port == 22 else f"[{self._address}]:{self._port}"
        client.get_host_keys().add(pinned_name, self._host_key.get_name(), self._host_key)
        client.set_missing_host_key_policy(_RejectUnknown())
        try:
            client.connect(
                self._address,
                self._port,
                username=self._user,
                sock=connection,
                **self._credentials(),
                timeout=_AUTH_SECONDS,
                banner_timeout=_BANNER_SECONDS,
                auth_timeout=_AUTH_SECONDS,
                channel_timeout=_CHANNEL_SECONDS,
            )
            transport = client.get_transport()
            assert transport is not None
            transport.set_keepalive(_KEEPALIVE_SECONDS)
        except BaseException:
            client.close()
            raise
        return client

    def _credentials(self) -> dict[str, Any]:
        """What paramiko is to log in with. A password is no passphrase for a key."""
        if self._login is None:
            key = paramiko.Ed25519Key.from_private_key_file(str(self._private_key_file))
            return {"pkey": key, "allow_agent": False, "look_for_keys": False}
        by_default = self._login.is_by_default
        return {
            "key_filename": [str(path) for path in self._login.key_files],
            "password": self._login.password.reveal() if self._login.password else None,
            "passphrase": "",
            "allow_agent": by_default,
            "look_for_keys": by_default,
        }

    def _execute(
        self, argv: Sequence[str], stdin: bytes | mmap.mmap, timeout_seconds: float, most_bytes: int = 0
    ) -> Exchange:
        limit = f"{timeout_seconds + _GUEST_GRACE_SECONDS:.0f}"
        as_root = [] if self._user == "root" else ["sudo", "-n", "--"]
        command = shlex.join([*as_root, "timeout", "--kill-after=10", limit, *argv])
        channel = self._open_channel()
        with self._reachable(f"the connection broke while `{_shown(argv)}` ran"), contextlib.closing(channel):
            try:
                channel.exec_command(command)
                return exchange(channel, stdin, timeout_seconds, most_bytes)
            except TimeIsUp as time_is_up:
                awaited = f"{self._node}: `{_shown(argv)}`"
                raise WaitTimeout(awaited, timeout_seconds, time_is_up.last_line) from time_is_up

    def _open_channel(self) -> paramiko.Channel:
        """A new channel; once more over a new connection where the one that stood turns out to be dead."""
        if self._is_connected():
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                return self._new_channel()
            self.close()
        self.connect()
        with self._reachable("no session on the new connection"):
            return self._new_channel()

    def _new_channel(self) -> paramiko.Channel:
        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise EOFError("not connected")
        return transport.open_session(timeout=_CHANNEL_SECONDS)

    @contextlib.contextmanager
    def _reachable(self, what: str) -> Iterator[None]:
        """Maps paramiko's and the socket's errors to `NodeUnreachable`."""
        place = f"{self._user}@{self._address}:{self._port}"
        try:
            yield
        except (paramiko.BadHostKeyException, _HostKeyUnknown) as error:
            raise NodeUnreachable(
                self._node,
                f"host key mismatch: {place} does not offer the SSH host key that is pinned for the node",
                self._mismatch_remedy,
            ) from error
        except paramiko.AuthenticationException as error:
            raise self._refused(place, str(error)) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise NodeUnreachable(
                self._node, f"{place}: {what}: {reason}", "see whether the node runs with `iecpod status`"
            ) from error

    def _refused(self, place: str, why: str) -> NodeUnreachable:
        if self._login is not None:
            return NodeUnreachable(
                self._node,
                f"{place} refuses {self._login.describe()} ({why})",
                "give the user with --user, and a key with --key or its password with --ask-password",
            )
        return NodeUnreachable(self._node, f"{place} refuses the POD's key ({why})", self._refused_remedy)

    def _failed(self, argv: Sequence[str], result: CommandResult) -> CommandFailed:
        output = "\n".join(part.rstrip() for part in (result.stdout, result.stderr) if part.strip())
        return CommandFailed(self._node, argv, result.returncode, output[-_TAIL_CHARACTERS:])


def _public_key(line: str) -> paramiko.PKey:
    kind, text = line.split()[:2]
    return paramiko.PKey.from_type_string(kind, base64.b64decode(text))


def _shown(argv: Sequence[str]) -> str:
    command = " ".join(" ".join(argv).split())
    return command if len(command) <= 80 else command[:80] + "…"
