"""A cluster's API server over HTTP, on a connection that is kept: an answer takes tenths of a second less each.

Answers are bounded: the server is a guest.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from iecpod.adapters.api_connector import HANDSHAKE_SECONDS, HEADERS, ApiConnector
from iecpod.adapters.api_watch import HttpWatch
from iecpod.adapters.command_trace import trace_call
from iecpod.errors import NodeUnreachable
from iecpod.http.client import Patience, Reply, Size, exchange
from iecpod.http.failures import WebError
from iecpod.ports import MOST_API_ANSWER_BYTES, ApiAnswer

_STALLED_SECONDS = 90.0
_SIZE = Size(most_bytes=MOST_API_ANSWER_BYTES)
#: A connection that was not used for so long may have been closed at the other end, unseen.
_FRESH_SECONDS = 20.0


class ApiClient:
    """`ApiServer` for threads that may ask at once; they are answered one after the other. Watches have connections of
    their own.
    """

    def __init__(self, node: str, connector: ApiConnector) -> None:
        self._node = node
        self._connector = connector
        self._connection: ssl.SSLSocket | None = None
        self._used_at = 0.0
        self._lock = threading.Lock()

    def is_ready(self) -> bool:
        with self._lock:
            if self._connection is None and not self._connector.has_credentials:
                return False
            if self._connector.is_in_doubt:
                with contextlib.suppress(OSError):
                    self._connect(HANDSHAKE_SECONDS)
            return not self._connector.is_shut

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
        headers = {**HEADERS, "Content-Type": content_type} if body else HEADERS
        with self._lock:
            reply = self._asked(method, path, body, headers, time.monotonic() + timeout_seconds)
        return ApiAnswer(reply.status, reply.content, reply.sent_at)

    def watch(self, paths: Sequence[str]) -> HttpWatch:
        return HttpWatch(self._node, self._connector, paths)

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
        is_kept = False
        try:
            reply = exchange(
                connection,
                self._connector.host,
                method,
                path,
                size=_SIZE,
                patience=patience,
                body=body,
                headers=headers,
            )
            is_kept = reply.is_kept
            return reply
        finally:
            self._used_at = time.monotonic()
            if not is_kept:
                self._close()

    def _connect(self, seconds: float) -> ssl.SSLSocket:
        self._connection = self._connector.connect(seconds)
        self._used_at = time.monotonic()
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _fail(self, error: Exception) -> NoReturn:
        reason = str(error).strip() or type(error).__name__
        raise NodeUnreachable(
            self._node,
            f"the API server at {self._connector.host} does not answer: {reason}",
            "see whether the node runs with `iecpod status`",
        ) from error
