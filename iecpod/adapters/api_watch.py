"""Watches of an API server: its connections stay open, and say when objects have changed (kubernetes.io: API concepts).

What a watch says of an object is not read. Whoever waits asks again, so nothing follows from a report that was late,
lost or made up.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence

from iecpod.adapters.api_connector import HANDSHAKE_SECONDS, HEADERS, ApiConnector
from iecpod.adapters.command_trace import trace_call
from iecpod.errors import IecpodError
from iecpod.http.client import Patience, Size, follow
from iecpod.http.failures import WebError
from iecpod.ports import MOST_API_ANSWER_BYTES

#: The server ends a watch by then.
_WATCH_SECONDS = 300
_PATIENCE = Patience(seconds=_WATCH_SECONDS + 30, stalled_seconds=_WATCH_SECONDS + 30)
_SIZE = Size(most_bytes=MOST_API_ANSWER_BYTES)
#: Before a watch that has ended begins again.
_RETRY_SECONDS = 2.0


class HttpWatch:
    """`ApiWatch` by a thread and a connection for each path, from the first question on: most waits need none."""

    def __init__(self, node: str, connector: ApiConnector, paths: Sequence[str]) -> None:
        self._node = node
        self._connector = connector
        self._has_changed = threading.Event()
        self._is_closed = threading.Event()
        self._connections: set[ssl.SSLSocket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._watch, args=(path,), name=path, daemon=True) for path in paths]

    def has_changed(self) -> bool:
        while self._threads:
            self._threads.pop().start()
        has_changed = self._has_changed.is_set()
        self._has_changed.clear()
        return has_changed

    def close(self) -> None:
        """Threads are not waited for: one that connects ends when that has come to an end."""
        with self._lock:
            self._is_closed.set()
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _watch(self, path: str) -> None:
        query = f"{path}{'&' if '?' in path else '?'}watch=true&timeoutSeconds={_WATCH_SECONDS}"
        while not self._is_closed.is_set():
            trace_call(self._node, f"API server: GET {query}")
            with contextlib.suppress(OSError, WebError, IecpodError), self._connected() as connection:
                for _piece in follow(
                    connection, self._connector.host, query, size=_SIZE, patience=_PATIENCE, headers=HEADERS
                ):
                    self._has_changed.set()
            self._is_closed.wait(_RETRY_SECONDS)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[ssl.SSLSocket]:
        with self._connector.connect(HANDSHAKE_SECONDS) as connection:
            with self._lock:
                if self._is_closed.is_set():
                    raise ConnectionAbortedError("nobody waits for it any more")
                self._connections.add(connection)
            try:
                yield connection
            finally:
                with self._lock:
                    self._connections.discard(connection)
