"""The one way to a web server: http and https and nothing that either leads on to, bounded in size and in time.

Python's own opener also reads `file:`, `ftp:` and `data:`, and follows a redirect from https to http.
`urllib` bounds each read of a socket. A server that sends a byte a minute, in its headers or in its body, holds such a
client for years, so here a deadline is looked at before every read of the connection, of proxies and redirections, too.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from iecpod.http.byte_ranges import WHOLE, Part, find_validator
from iecpod.http.failures import TooSlow, WebError, WrongSize, explained_failures

_SCHEMES = ("http", "https")
_CHUNK_BYTES = 1024 * 1024


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

    _response: http.client.HTTPResponse
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
    with explained_failures():
        if urlsplit(url).scheme not in _SCHEMES:
            raise ValueError("it is not fetched: its address begins neither with http:// nor with https://")
        sent = {"User-Agent": "iecpod", "Accept": "*/*", **(headers or {}), **part.headers}
        request = urllib.request.Request(url, headers=sent)
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        response: http.client.HTTPResponse = _opener(deadline).open(request, timeout=patience.stalled_seconds)
    with closing(response):
        yield _answer(response, deadline, size, part)


@dataclass(frozen=True, slots=True)
class Reply:
    """Where the connection `is_kept`, it takes another request."""

    status: int
    content: bytes = field(repr=False)
    is_kept: bool


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
    client = _connecting(http.client.HTTPConnection, deadline)(host)
    client.sock = connection
    with explained_failures():
        connection.settimeout(deadline.left())
        client.request(method, path, body or None, dict(headers or {}))
        response = client.getresponse()
    is_kept = not response.will_close
    with closing(response):
        return Reply(response.status, _answer(response, deadline, size).content(), is_kept)


def _answer(response: http.client.HTTPResponse, deadline: _Deadline, size: Size, part: Part = WHOLE) -> Answer:
    first_byte = _first_byte(response, part)
    length = None if response.length is None else first_byte + response.length
    if length is not None:
        size.check(length, is_all=True)
    return Answer(response, deadline, size, length, first_byte, find_validator(response.headers))


def _first_byte(response: http.client.HTTPResponse, part: Part) -> int:
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

    def read(self, amount: int | None = None) -> bytes:
        """urllib reads all that is in a redirection, however much that is."""
        return super().read(_CHUNK_BYTES if amount is None else amount)


def _connecting(
    kind: type[http.client.HTTPConnection], deadline: _Deadline
) -> Callable[..., http.client.HTTPConnection]:
    def connect(*arguments: Any, **options: Any) -> http.client.HTTPConnection:
        connection = kind(*arguments, **options)
        connection.response_class = partial(_Response, deadline=deadline)  # type: ignore[assignment]
        return connection

    return connect


class _HttpHandler(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._connect = _connecting(http.client.HTTPConnection, deadline)

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, request)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._connect = _connecting(http.client.HTTPSConnection, deadline)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not leads_on(req.full_url, newurl):
            raise urllib.error.URLError(f"it leads on to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def leads_on(url: str, to: str) -> bool:
    """Whether `url` may lead to `to`: what was asked for over https is not taken over anything else."""
    schemes = ("https",) if urlsplit(url).scheme == "https" else _SCHEMES
    return urlsplit(to).scheme in schemes


def _opener(deadline: _Deadline) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _HttpHandler(deadline),
        _HttpsHandler(deadline),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener
