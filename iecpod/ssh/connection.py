"""One SSH connection to a node: the POD's key, and only the host key that we gave the node."""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko

from iecpod.errors import HostKeyMismatch, LoginRefused, NodeUnreachable
from iecpod.ssh_login import Login

#: Opens a TCP connection to (address, port) within seconds; `HypervisorHost.open_socket` is one.
OpenSocket = Callable[[str, int, float], socket.socket]

_TCP_SECONDS = 5.0
#: An emulated guest that is busy takes long to send its banner and longer to check a key.
_BANNER_SECONDS = 60.0
_AUTH_SECONDS = 120.0
_CHANNEL_SECONDS = 60.0
_KEEPALIVE_SECONDS = 15
#: A peer that acknowledges nothing for so long is gone; the kernel alone would try for a quarter of an hour.
_DEAD_PEER_MILLISECONDS = 90_000

# paramiko reports what it also raises; without a handler that would land on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


#: paramiko says it where the agent has no key and the user neither.
_NOTHING_TO_LOG_IN_WITH = "No authentication methods available"
#: What paramiko says of a server that has not answered to a key, with an exception that is otherwise a refusal's.
_SILENT = re.compile(r"Authentication timeout|Authentication failed: transport shut down")


class _HostKeyUnknown(Exception):
    pass


class _RejectUnknown(paramiko.MissingHostKeyPolicy):
    """For a server that offers a key of another type than the pinned one."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise _HostKeyUnknown(key.get_name())


class SshConnection:
    """Made by the first use, and again where it broke: once for all threads that need it then.

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
        self._connecting = threading.Lock()

    @property
    def node(self) -> str:
        return self._node

    @property
    def user(self) -> str:
        return self._user

    def connect(self) -> None:
        """Makes the connection unless it stands. Raises `NodeUnreachable`; a node that is not up takes seconds."""
        with self._connecting, self.reachable("no connection"):
            if self._is_connected():
                return
            self.close()
            connection = self._open_socket(self._address, self._port, _TCP_SECONDS)
            try:
                self._client = self._log_in(connection)
            except BaseException:
                connection.close()
                raise

    def open_channel(self) -> paramiko.Channel:
        """A new channel; once more over a new connection where the one that stood turns out to be dead."""
        if self._is_connected():
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                return self._new_channel()
            self.close()
        self.connect()
        with self.reachable("no session on the new connection"):
            return self._new_channel()

    def transport(self) -> paramiko.Transport:
        """Of a connection that stands, else of a new one. Raises `NodeUnreachable`, and OSError where that broke."""
        self.connect()
        return self._standing_transport()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextlib.contextmanager
    def reachable(self, what: str) -> Iterator[None]:
        """Maps paramiko's and the socket's errors to `NodeUnreachable`."""
        place = f"{self._user}@{self._address}:{self._port}"
        try:
            yield
        except (paramiko.BadHostKeyException, _HostKeyUnknown) as error:
            raise HostKeyMismatch(
                self._node,
                f"host key mismatch: {place} does not offer the SSH host key that is pinned for the node",
                self._mismatch_remedy,
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            if str(error) == _NOTHING_TO_LOG_IN_WITH:
                raise self._refused(place, "there are none") from error
            if isinstance(error, paramiko.AuthenticationException) and not _SILENT.match(str(error)):
                raise self._refused(place, str(error)) from error
            reason = str(error) or type(error).__name__
            raise NodeUnreachable(
                self._node, f"{place}: {what}: {reason}", "see whether the node runs with `iecpod status`"
            ) from error

    def _new_channel(self) -> paramiko.Channel:
        return self._standing_transport().open_session(timeout=_CHANNEL_SECONDS)

    def _standing_transport(self) -> paramiko.Transport:
        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise ConnectionError("not connected")
        return transport

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

    def _refused(self, place: str, why: str) -> LoginRefused:
        if self._login is not None:
            return LoginRefused(
                self._node,
                f"{place} refuses {self._login.describe()} ({why})",
                "give the user with --user, and a key with --key or its password with --ask-password",
            )
        return LoginRefused(self._node, f"{place} refuses the POD's key ({why})", self._refused_remedy)


def _public_key(line: str) -> paramiko.PKey:
    kind, text = line.split()[:2]
    return paramiko.PKey.from_type_string(kind, base64.b64decode(text))
