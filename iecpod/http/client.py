"""The one way to a web server, on urllib3: http and https only, bounded in size and in time.

urllib3 bounds each read of a socket. A server that sends a byte a minute, in its headers or in its body, holds such a
client for years, so here a deadline is looked at before every read of the connection, of proxies and redirections, too.
Redirections are followed here: urllib3 would take one from https to http, and any by the proxy of the first address.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers

from iecpod.http.byte_ranges import WHOLE, Part, find_validator
from iecpod.http.failures import TooSlow, WebError, WrongSize, check_status, explained_failures
from iecpod.http.proxies import Proxy, find_proxy

_SCHEMES = ("http", "https")
_CHUNK_BYTES = 1024 * 1024
_MOST_REDIRECTIONS = 10
_HEADERS = {"User-Agent": "iecpod", "Accept": "*/*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The time for an answer: `seconds`, and one more for each `slowest_bytes_a_second` that have come.

    A connection that is silent for `stalled_seconds` ends before that.
    """

    seconds: float = 60.0
    slowest_bytes_a_second: float = 20_000.0
    stalled_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a body may have at most, or, where that is known beforehand, what it must have."""

    most_bytes: int
    is_exact: bool = False

    def check(self, found_bytes: int, *, is_all: bool) -> None:
        """Raises `WebError`."""
        if self.is_exact and (found_bytes > self.most_bytes or (is_all and found_bytes != self.most_bytes)):
            raise WrongSize(f"it does not have the {self.most_bytes} bytes that it should have")
        if found_bytes > self.most_bytes:
            raise WrongSize(f"it has more than {self.most_bytes} bytes")


@dataclass(slots=True)
class Answer:
    """`length_bytes` is what the server says of the whole body, None where it says nothing.

    `first_byte` is 0 where the server sends all of it, also when a part was asked for. `validator` names this version
    of the body for `Part`; empty where the server gives none that is strong enough.
    """

    _response: BaseHTTPResponse
    _deadline: _Deadline
    _size: Size
    length_bytes: int | None
    first_byte: int
    validator: str

    def pieces(self) -> Iterator[bytes]:
        """The body from `first_byte` on, once. Raises `WebError` where it is not of its size, late, or not whole."""
        received = self.first_byte
        while piece := self._read():
            received += len(piece)
            self._deadline.received_bytes += len(piece)
            self._size.check(received, is_all=False)
            yield piece
        if self.length_bytes is not None and received < self.length_bytes:
            cause = f"the connection ended after {received} of {self.length_bytes} bytes"
            raise WebError(cause, is_transient=True)
        self._size.check(received, is_all=True)

    def content(self) -> bytes:
        return b"".join(self.pieces())

    def _read(self) -> bytes:
        with explained_failures():
            return self._response.read1(_CHUNK_BYTES)


@contextmanager
def open_url(
    url: str,
    size: Size,
    *,
    headers: Mapping[str, str] | None = None,
    token: str = "",
    patience: Patience = Patience(),
    part: Part = WHOLE,
) -> Iterator[Answer]:
    """The answer to GET; proxies are those of the environment. `token` is for this server alone, not where it leads.

    Raises `WebError`, also for any other scheme.
    """
    deadline = _Deadline(patience)
    sent = {**_HEADERS, "Connection": "close", **(headers or {}), **part.headers}
    with explained_failures():
        response = _follow(url, sent, token, deadline)
    with closing(response):
        check_status(response)
        yield _answer(response, deadline, size, part)


def _follow(url: str, headers: Mapping[str, str], token: str, deadline: _Deadline) -> BaseHTTPResponse:
    """The answer at the end of all redirections. Raises `ValueError` for an address that is not fetched."""
    if urlsplit(url).scheme not in _SCHEMES:
        raise ValueError("it is not fetched: its address begins neither with http:// nor with https://")
    sent = {**headers, "Authorization": f"Bearer {token}"} if token else headers
    for _ in range(_MOST_REDIRECTIONS + 1):
        response = _get(url, sent, deadline)
        location = response.get_redirect_location()
        if not location:
            return response
        response.close()
        to = urljoin(url, location)
        if not leads_on(url, to):
            raise ValueError(f"it leads on to {to}, which is not https")
        url, sent = to, headers
    raise ValueError("too many redirections")


def _get(url: str, headers: Mapping[str, str], deadline: _Deadline) -> BaseHTTPResponse:
    manager = _pool_manager(find_proxy(url))
    manager.pool_classes_by_scheme = _bounded_pools(deadline)
    return manager.request(
        "GET",
        url,
        headers=headers,
        timeout=deadline.patience.stalled_seconds,
        redirect=False,
        retries=False,
        preload_content=False,
        decode_content=False,
        enforce_content_length=False,
    )


def _pool_manager(proxy: Proxy | None) -> PoolManager:
    if proxy is None:
        return PoolManager()
    return ProxyManager(proxy.url, proxy_headers=make_headers(proxy_basic_auth=proxy.login or None))


@dataclass(frozen=True, slots=True)
class Reply:
    """Where the connection `is_kept`, it takes another request. `sent_at` is Unix time, where the reply has a date."""

    status: int
    content: bytes = field(repr=False)
    is_kept: bool
    sent_at: float | None


def read_page(connection: socket.socket, host: str, size: Size, patience: Patience) -> bytes:
    """What is at `/` of the server at the other end of a connection. Raises `WebError`."""
    return exchange(connection, host, "GET", "/", size=size, patience=patience).content


def exchange(
    connection: socket.socket,
    host: str,
    method: str,
    path: str,
    *,
    size: Size,
    patience: Patience,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request over a connection that is there; any status is a reply. Raises `WebError`."""
    deadline = _Deadline(patience)
    client, response = _send(connection, host, method, path, deadline, body, headers)
    is_kept = client.sock is not None
    with closing(response):
        content = _answer(response, deadline, size).content()
        return Reply(response.status, content, is_kept, _sent_at(response.headers.get("Date", "")))


def follow(
    connection: socket.socket, host: str, path: str, *, size: Size, patience: Patience, headers: Mapping[str, str]
) -> Iterator[bytes]:
    """What the server sends for a GET, over a connection that is there, as it comes. Raises `WebError`."""
    deadline = _Deadline(patience)
    _client, response = _send(connection, host, "GET", path, deadline, b"", headers)
    with closing(response):
        check_status(response)
        yield from _answer(response, deadline, size).pieces()


def _send(
    connection: socket.socket,
    host: str,
    method: str,
    path: str,
    deadline: _Deadline,
    body: bytes,
    headers: Mapping[str, str] | None,
) -> tuple[HTTPConnection, BaseHTTPResponse]:
    with explained_failures():
        client = _bounded(HTTPConnection, deadline)(host, timeout=deadline.left())
        client.sock = connection
        client.request(
            method,
            path,
            body or None,
            {**_HEADERS, **(headers or {})},
            preload_content=False,
            decode_content=False,
            enforce_content_length=False,
        )
        return client, client.getresponse()


def _sent_at(date: str) -> float | None:
    """Unix time of a `Date`; None for what is none, or is not in GMT (RFC 9110, 5.6.7)."""
    try:
        return parsedate_to_datetime(date).timestamp() if date.endswith(" GMT") else None
    except (ValueError, OverflowError):
        return None


def _answer(response: BaseHTTPResponse, deadline: _Deadline, size: Size, part: Part = WHOLE) -> Answer:
    first_byte = _first_byte(response, part)
    length = None if response.length_remaining is None else first_byte + response.length_remaining
    if length is not None:
        size.check(length, is_all=True)
    return Answer(response, deadline, size, length, first_byte, find_validator(response.headers))


def _first_byte(response: BaseHTTPResponse, part: Part) -> int:
    """Raises `WebError` for a part that was not asked for: it would end up in the wrong place."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    if not part.is_what(response.headers.get("Content-Range", "")):
        raise WebError("the server sent another part than was asked for")
    return part.first_byte


@dataclass(slots=True)
class _Deadline:
    patience: Patience
    received_bytes: int = 0
    start: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds until the next read has to be done. Raises `TimeoutError` where there are none."""
        whole = self.patience.seconds + self.received_bytes / self.patience.slowest_bytes_a_second
        left = self.start + whole - time.monotonic()
        if left <= 0:
            raise TooSlow(f"it took longer than {whole:.0f} s")
        return min(left, self.patience.stalled_seconds)


class _Bounded(io.RawIOBase):
    """What is read of a connection, by its deadline."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, deadline: _Deadline) -> None:
        self._raw, self._connection, self._deadline = raw, connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._deadline.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, connection: socket.socket, *arguments: Any, deadline: _Deadline, **options: Any) -> None:
        super().__init__(connection, *arguments, **options)
        self.fp = io.BufferedReader(_Bounded(self.fp.detach(), connection, deadline))


def _bounded(kind: type[HTTPConnection], deadline: _Deadline) -> type[HTTPConnection]:
    return type(kind.__name__, (kind,), {"response_class": staticmethod(partial(_Response, deadline=deadline))})


def _bounded_pools(deadline: _Deadline) -> dict[str, type[HTTPConnectionPool]]:
    """By scheme."""
    kinds = {"http": (HTTPConnectionPool, HTTPConnection), "https": (HTTPSConnectionPool, HTTPSConnection)}
    return {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": _bounded(connection, deadline)})
        for scheme, (pool, connection) in kinds.items()
    }


def leads_on(url: str, to: str) -> bool:
    """Whether `url` may lead to `to`: what was asked for over https is not taken over anything else."""
    schemes = ("https",) if urlsplit(url).scheme == "https" else _SCHEMES
    return urlsplit(to).scheme in schemes
