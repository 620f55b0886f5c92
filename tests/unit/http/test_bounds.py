"""Servers that answer too much, too little or too slowly, wherever in their answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from iecpod.http.client import Patience, Size, open_url, read_page
from iecpod.http.failures import WebError, WrongSize

Act = Callable[[socket.socket], None]
HASTY = Patience(seconds=0.4, slowest_bytes_a_second=1e6, stalled_seconds=0.3)
HEAD = b"HTTP/1.1 200 OK\r\n"


class Server:
    """Answers each connection by `act`, which is done when the client has gone."""

    def __init__(self) -> None:
        self.act: Act = lambda connection: None
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.asked.append(connection.recv(65536))
                self.act(connection)
            except OSError:
                pass  # the client has gone

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.close()


def says(*pieces: bytes) -> Act:
    return lambda connection: connection.sendall(b"".join(pieces))


def dribbles(beginning: bytes, piece: bytes, pause_seconds: float = 0.05) -> Act:
    """Never silent for long, and never done."""

    def act(connection: socket.socket) -> None:
        connection.sendall(beginning)
        for _ in range(400):
            connection.sendall(piece)
            time.sleep(pause_seconds)

    return act


def fetch(url: str, most_bytes: int = 100, **options: object) -> bytes:
    with open_url(url, Size(most_bytes=most_bytes, is_exact=bool(options.pop("exact", False))), **options) as answer:  # type: ignore[arg-type]
        return answer.content()


def test_a_body_with_and_without_a_length(server: Server) -> None:
    server.act = says(HEAD, b"Content-Length: 5\r\n\r\nhello")
    assert fetch(server.url) == b"hello"
    server.act = says(HEAD, b"\r\nhello")
    assert fetch(server.url, most_bytes=5) == b"hello"
    server.act = says(HEAD, b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert fetch(server.url, most_bytes=5) == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 6\r\n\r\nhello!",
        b"Content-Length: 99999999999\r\n\r\n",
        b"\r\nhello!",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n",
    ],
)
def test_more_than_may_be(server: Server, answer: bytes) -> None:
    server.act = says(HEAD, answer)
    with pytest.raises(WrongSize, match="it has more than 5 bytes"):
        fetch(server.url, most_bytes=5)


@pytest.mark.parametrize(
    "answer",
    [b"Content-Length: 4\r\n\r\nhell", b"Content-Length: 6\r\n\r\nhello!", b"\r\nhell", b"\r\nhello!"],
)
def test_not_exactly_what_was_said_elsewhere(server: Server, answer: bytes) -> None:
    server.act = says(HEAD, answer)
    with pytest.raises(WrongSize, match="it does not have the 5 bytes that it should have"):
        fetch(server.url, most_bytes=5, exact=True)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"Content-Length: 50\r\n\r\nhello", "the connection ended after 5 of 50 bytes"),
        (b"Transfer-Encoding: chunked\r\n\r\n32\r\nhello", "the connection ended in the middle of it"),
    ],
)
def test_less_than_was_said(server: Server, answer: bytes, cause: str) -> None:
    server.act = says(HEAD, answer)
    with pytest.raises(WebError, match=cause):
        fetch(server.url)


@pytest.mark.parametrize(
    "act",
    [
        dribbles(b"HTTP/1.1 200 ", b"x"),
        dribbles(HEAD, b"A: b\r\n"),
        dribbles(HEAD + b"X: ", b"x"),
        dribbles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dribbles(HEAD + b"\r\n", b"x"),
        dribbles(HEAD + b"Content-Length: 1000\r\n\r\n", b"x"),
        dribbles(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
        dribbles(b"HTTP/1.1 302 Found\r\nLocation: /\r\n", b"A: b\r\n"),
    ],
    ids=["status", "headers", "header", "continue", "body", "long body", "chunk", "redirection"],
)
def test_a_server_that_dribbles_is_given_up(server: Server, act: Act) -> None:
    server.act = act
    start = time.monotonic()
    with pytest.raises(WebError, match=r"it took longer than 0 s|timed out"):
        fetch(server.url, most_bytes=10_000, patience=HASTY)
    assert time.monotonic() - start < 5


def test_redirections_without_an_end(server: Server) -> None:
    """Their bodies are not read, so a slow one makes none of them slow."""
    server.act = dribbles(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 999999\r\n\r\n", b"x")
    with pytest.raises(WebError, match="too many redirections"):
        fetch(server.url, patience=Patience(seconds=20))
    assert len(server.asked) == 11


def test_a_silent_server_is_given_up(server: Server) -> None:
    server.act = lambda connection: time.sleep(3)
    with pytest.raises(WebError, match="timed out"):
        fetch(server.url, patience=HASTY)


def test_what_comes_in_time_may_take_longer_than_the_beginning(server: Server) -> None:
    def act(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"\r\n")
        for _ in range(6):
            connection.sendall(b"x" * 1000)
            time.sleep(0.1)

    server.act = act
    steady = Patience(seconds=0.4, slowest_bytes_a_second=5000, stalled_seconds=1)
    assert len(fetch(server.url, most_bytes=6000, patience=steady)) == 6000


def test_a_redirection_with_a_long_body_is_not_read_whole(server: Server) -> None:
    sent: list[int] = []

    def act(connection: socket.socket) -> None:
        if server.asked[-1].startswith(b"GET /there "):
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\nok")
            return
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x" * 100_000)
            sent.append(100_000)

    server.act = act
    assert fetch(server.url) == b"ok"
    assert sum(sent) < 20_000_000


def test_a_refusal_has_its_status_and_reason(server: Server) -> None:
    server.act = says(b"HTTP/1.1 401 " + b"No" * 500 + b"\r\nWWW-Authenticate: Bearer x\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(WebError) as caught:
        fetch(server.url)
    assert (caught.value.status, caught.value.challenge) == (401, "Bearer x")
    assert str(caught.value).startswith("401 NoNo") and len(str(caught.value)) < 300


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 abc\r\n\r\n", b"\xff" * 70_000])
def test_what_is_no_http(server: Server, answer: bytes) -> None:
    server.act = says(answer)
    with pytest.raises(WebError):
        fetch(server.url)


def test_errors_of_who_reads_stay_their_own(server: Server) -> None:
    server.act = says(HEAD, b"Content-Length: 5\r\n\r\nhello")
    with pytest.raises(OSError, match="no room"), open_url(server.url, Size(most_bytes=9)):
        raise OSError("no room")


def test_a_compressed_body_stays_compressed(server: Server) -> None:
    server.act = says(HEAD, b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00")
    assert fetch(server.url) == b"\x1f\x8b\x08\x00"
    assert b"Accept-Encoding: identity" in server.asked[-1]


def test_a_page_over_a_connection_of_ones_own(server: Server) -> None:
    server.act = says(HEAD, b"\r\nWelcome to nginx!")
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address) as connection:
        assert read_page(connection, "x", Size(most_bytes=99), HASTY) == b"Welcome to nginx!"
    server.act = dribbles(HEAD + b"\r\n", b"x")
    with socket.create_connection(address) as connection, pytest.raises(WebError):
        read_page(connection, "x", Size(most_bytes=9999), HASTY)


def test_no_time_is_a_failure_like_any_other() -> None:
    one, other = socket.socketpair()
    with one, other, pytest.raises(WebError, match="it took longer than 0 s"):
        read_page(one, "x", Size(most_bytes=99), Patience(seconds=0))
