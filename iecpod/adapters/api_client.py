"""A cluster's API server over HTTP, on a connection that is kept: an answer takes tenths of a second less each.

The server is a guest, and believed as such: its certificate must be of the POD's CA, and answers are bounded.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from iecpod.adapters.command_trace import trace_call
from iecpod.errors import NodeUnreachable
from iecpod.http.client import Patience, Reply, Size, exchange
from iecpod.http.failures import WebError
from iecpod.ports import MOST_API_ANSWER_BYTES, ApiAnswer
from iecpod.render.kubeconfig import Credentials

#: Opens a TCP connection to (address, port) within seconds; raises OSError.
OpenSocket = Callable[[str, int, float], socket.socket]

_CONNECT_SECONDS = 10.0
#: An emulated API server that is busy takes long to sign.
_HANDSHAKE_SECONDS = 60.0
_STALLED_SECONDS = 90.0
_SIZE = Size(most_bytes=MOST_API_ANSWER_BYTES)
#: A connection that was not used for so long may have been closed at the other end, unseen.
_FRESH_SECONDS = 20.0
#: A peer that acknowledges nothing for so long is gone.
_DEAD_PEER_MILLISECONDS = 60_000


class ApiClient:
    """`ApiServer` for threads that may ask at once; they are answered one after the other.

    `ways` are tried in turn until one has led there, which is the way from then on. `load_credentials` returns None
    for as long as there is no kubeconfig that fits.
    """

    def __init__(
        self,
        node: str,
        address: str,
        port: int,
        *,
        load_credentials: Callable[[], Credentials | None],
        ways: Sequence[OpenSocket],
    ) -> None:
        self._node = node
        self._address = address
        self._port = port
        self._load_credentials = load_credentials
        self._ways = tuple(ways)
        self._is_shut = False
        self._connection: ssl.SSLSocket | None = None
        self._used_at = 0.0
        self._lock = threading.Lock()

    def is_ready(self) -> bool:
        with self._lock:
            if self._connection is None and self._load_credentials() is None:
                return False
            if len(self._ways) > 1 and not self._is_shut:
                with contextlib.suppress(OSError):
                    self._connect(_HANDSHAKE_SECONDS)
            return not self._is_shut

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        timeout_seconds: float,
    ) -> ApiAnswer:
        trace_call(self._node, f"API server: {method} {path}")
        headers = {"Accept": "application/json", "User-Agent": "iecpod"}
        headers |= {"Content-Type": content_type} if body else {}
        with self._lock:
            reply = self._asked(method, path, body, headers, time.monotonic() + timeout_seconds)
        return ApiAnswer(reply.status, reply.content, reply.sent_at)

    def close(self) -> None:
        with self._lock:
            self._close()

    def _asked(self, method: str, path: str, body: bytes, headers: dict[str, str], deadline: float) -> Reply:
        """A request that a kept connection has lost is sent again; not one that would make a second thing."""
        if self._connection is not None and time.monotonic() - self._used_at > _FRESH_SECONDS:
            self._close()
        is_kept = self._connection is not None and method != "POST"
        try:
            return self._exchanged(method, path, body, headers, deadline)
        except WebError as error:
            if not (is_kept and error.is_transient):
                self._fail(error)
        try:
            return self._exchanged(method, path, body, headers, deadline)
        except WebError as error:
            self._fail(error)

    def _exchanged(self, method: str, path: str, body: bytes, headers: dict[str, str], deadline: float) -> Reply:
        try:
            connection = self._connection or self._connect(deadline - time.monotonic())
        except OSError as error:
            self._fail(error)
        left = max(1.0, deadline - time.monotonic())
        patience = Patience(seconds=left, stalled_seconds=min(left, _STALLED_SECONDS))
        host = f"{self._address}:{self._port}"
        is_kept = False
        try:
            reply = exchange(connection, host, method, path, size=_SIZE, patience=patience, body=body, headers=headers)
            is_kept = reply.is_kept
            return reply
        finally:
            self._used_at = time.monotonic()
            if not is_kept:
                self._close()

    def _connect(self, seconds: float) -> ssl.SSLSocket:
        credentials = self._load_credentials()
        if credentials is None:
            raise FileNotFoundError("there is no kubeconfig of it on this host")
        context = _context(credentials)
        plain = self._open(max(1.0, min(seconds, _CONNECT_SECONDS)))
        with contextlib.suppress(OSError):  # not TCP: no such option
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MILLISECONDS)
        plain.settimeout(max(1.0, min(seconds, _HANDSHAKE_SECONDS)))
        try:
            self._connection = context.wrap_socket(plain, server_hostname=self._address)
        except BaseException:
            plain.close()
            raise
        self._used_at = time.monotonic()
        return self._connection

    def _open(self, seconds: float) -> socket.socket:
        failures: list[OSError] = []
        for way in self._ways:
            try:
                opened = way(self._address, self._port, seconds)
            except OSError as error:
                failures.append(error)
            else:
                self._ways = (way,)
                return opened
        self._is_shut = isinstance(failures[-1], PermissionError)
        raise failures[0]

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fail(self, error: Exception) -> NoReturn:
        reason = str(error).strip() or type(error).__name__
        raise NodeUnreachable(
            self._node,
            f"the API server at {self._address}:{self._port} does not answer: {reason}",
            "see whether the node runs with `iecpod status`",
        ) from error


def _context(credentials: Credentials) -> ssl.SSLContext:
    """Trusts the POD's CA alone, by the server's address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=credentials.ca_certificate.decode())
    with _in_memory(credentials.client_certificate + credentials.client_key) as path:
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A file that is on no disk: Python reads a client's key from a path only."""
    descriptor = os.memfd_create("iecpod-credentials", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"
