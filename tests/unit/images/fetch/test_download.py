"""Downloads over connections that break, against a server that breaks them."""

from __future__ import annotations

import hashlib
import socket
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from iecpod.http.byte_ranges import Part
from iecpod.http.client import Answer, Size, open_url
from iecpod.http.failures import WebError
from iecpod.images.fetch.download import download, retry
from tests.fakes import FakeClock
from tests.unit.http.test_bounds import HEAD, Act, Server, server  # noqa: F401

BODY = bytes(range(256)) * 40
NEW_BODY = BODY[::-1]
HALF = 5000
ETAG = b'ETag: "one"\r\n'


def whole(body: bytes = BODY, sent: int | None = None, about: bytes = ETAG) -> bytes:
    """An answer with all of the body, of which `sent` bytes come before the connection ends."""
    return HEAD + about + b"Content-Length: %d\r\n\r\n" % len(body) + body[:sent]


def rest(first: int, body: bytes = BODY, sent: int | None = None) -> bytes:
    about = b"Content-Range: bytes %d-%d/%d\r\n" % (first, len(body) - 1, len(body))
    size = b"Content-Length: %d\r\n\r\n" % (len(body) - first)
    return b"HTTP/1.1 206 Partial Content\r\n" + ETAG + about + size + body[first:][:sent]


def refusal(status: bytes) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"


def in_turn(*answers: bytes) -> Act:
    """Each connection gets the next answer; the last one stays."""
    left = list(answers)

    def act(connection: socket.socket) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return act


class Fetched:
    """What a download from the server gave."""

    def __init__(self, source: Server, path: Path) -> None:
        self.clock, self.messages, self.seen = FakeClock(), list[str](), list[tuple[int, int]]()

        def open_part(part: Part) -> AbstractContextManager[Answer]:
            return open_url(source.url, Size(most_bytes=len(BODY)), part=part)

        def look(received: int, length: int) -> None:
            self.seen.append((received, length))

        with path.open("wb") as file:
            self.digest = download(open_part, file, clock=self.clock, notify=self.messages.append, look=look)
        self.content = path.read_bytes()


def asked(source: Server) -> list[tuple[str, str]]:
    """Range and If-Range of each request."""
    found = []
    for request in source.asked:
        lines = [line.partition(": ") for line in request.decode().split("\r\n")]
        headers = {name: value for name, _, value in lines}
        found.append((headers.get("Range", ""), headers.get("If-Range", "")))
    return found


def test_what_was_received_is_kept(server: Server, tmp_path: Path) -> None:  # noqa: F811
    server.act = in_turn(whole(sent=HALF), rest(HALF, sent=1000), rest(HALF + 1000))
    fetched = Fetched(server, tmp_path / "file")
    assert fetched.content == BODY
    assert fetched.digest == hashlib.sha256(BODY).hexdigest()
    assert asked(server) == [("", ""), (f"bytes={HALF}-", '"one"'), (f"bytes={HALF + 1000}-", '"one"')]
    assert fetched.messages == [
        f"the connection ended after {HALF} of {len(BODY)} bytes; trying again in 0.5 s",
        f"the connection ended after {HALF + 1000} of {len(BODY)} bytes; trying again in 1 s",
    ]
    assert fetched.clock.now() == 1.5
    assert fetched.seen[-1] == (len(BODY), len(BODY))


@pytest.mark.parametrize("about", [b"", b'ETag: W/"weak"\r\n', b'ETag: "' + b"x" * 300 + b'"\r\n'])
def test_without_a_strong_validator_all_is_fetched_again(server: Server, tmp_path: Path, about: bytes) -> None:  # noqa: F811
    server.act = in_turn(whole(sent=HALF, about=about), whole(NEW_BODY, about=about))
    fetched = Fetched(server, tmp_path / "file")
    assert fetched.content == NEW_BODY and fetched.digest == hashlib.sha256(NEW_BODY).hexdigest()
    assert asked(server)[1] == ("", "")


def test_the_date_of_a_file_is_a_validator(server: Server, tmp_path: Path) -> None:  # noqa: F811
    date = b"Fri, 27 Nov 2026 03:00:00 GMT"
    server.act = in_turn(whole(sent=HALF, about=b"Last-Modified: " + date + b"\r\n"), rest(HALF))
    assert Fetched(server, tmp_path / "file").content == BODY
    assert asked(server)[1] == (f"bytes={HALF}-", date.decode())


def test_a_file_that_was_replaced_meanwhile_is_fetched_whole(server: Server, tmp_path: Path) -> None:  # noqa: F811
    server.act = in_turn(whole(sent=HALF), whole(NEW_BODY, 10, b'ETag: "two"\r\n'), rest(10, NEW_BODY))
    fetched = Fetched(server, tmp_path / "file")
    assert fetched.content == NEW_BODY and fetched.digest == hashlib.sha256(NEW_BODY).hexdigest()
    assert asked(server)[2] == ("bytes=10-", '"two"')


def test_a_part_that_cannot_be_fetched_is_no_end(server: Server, tmp_path: Path) -> None:  # noqa: F811
    server.act = in_turn(whole(sent=HALF), refusal(b"416 Range Not Satisfiable"), whole())
    assert Fetched(server, tmp_path / "file").content == BODY


@pytest.mark.parametrize(
    "answer",
    [rest(HALF - 1), rest(HALF + 1), rest(0), rest(HALF).replace(b"Content-Range", b"X-Range")],
)
def test_another_part_is_refused(server: Server, tmp_path: Path, answer: bytes) -> None:  # noqa: F811
    server.act = in_turn(whole(sent=HALF), answer)
    with pytest.raises(WebError, match="another part than was asked for"):
        Fetched(server, tmp_path / "file")


def test_a_part_that_nobody_asked_for_is_refused(server: Server, tmp_path: Path) -> None:  # noqa: F811
    server.act = in_turn(rest(HALF))
    with pytest.raises(WebError, match="another part than was asked for"):
        Fetched(server, tmp_path / "file")


def test_a_part_cannot_exceed_the_size_of_the_whole(server: Server, tmp_path: Path) -> None:  # noqa: F811
    server.act = in_turn(whole(sent=HALF), rest(HALF, BODY + b"x"))
    with pytest.raises(WebError, match=f"it has more than {len(BODY)} bytes"):
        Fetched(server, tmp_path / "file")


def test_a_server_that_always_breaks_off_is_given_up(server: Server) -> None:  # noqa: F811
    server.act = in_turn(whole(sent=HALF, about=b""))
    clock = FakeClock()
    with pytest.raises(WebError, match=f"the connection ended after {HALF} of {len(BODY)} bytes"):
        retry(lambda: _content(server.url), clock)
    assert len(server.asked) == 6 and clock.now() == 15.5


@pytest.mark.parametrize("status", [b"500 X", b"502 X", b"503 X", b"504 X", b"429 X", b"408 X"])
def test_a_server_that_is_busy_is_asked_again(server: Server, status: bytes) -> None:  # noqa: F811
    server.act = in_turn(refusal(status), refusal(status), whole())
    assert retry(lambda: _content(server.url), FakeClock()) == BODY


@pytest.mark.parametrize("answer", [refusal(b"404 X"), refusal(b"403 X"), b"nonsense\r\n\r\n", whole(BODY + b"x")])
def test_what_stays_so_is_not_tried_again(server: Server, answer: bytes) -> None:  # noqa: F811
    server.act = in_turn(answer)
    with pytest.raises(WebError):
        retry(lambda: _content(server.url), FakeClock())
    assert len(server.asked) == 1


def test_a_connection_that_is_closed_or_refused_is_tried_again(server: Server) -> None:  # noqa: F811
    server.act = in_turn(b"", whole())
    assert retry(lambda: _content(server.url), FakeClock()) == BODY
    clock = FakeClock()
    with pytest.raises(WebError, match="Connection refused"):
        retry(lambda: _content("http://127.0.0.1:1/"), clock)
    assert clock.now() == 15.5


def test_a_server_that_takes_minutes_for_nothing_is_given_up_earlier() -> None:
    clock, tries = FakeClock(), list[float]()

    def request() -> bytes:
        tries.append(clock.now())
        clock.sleep(61)
        raise WebError("timed out", is_transient=True)

    with pytest.raises(WebError, match="timed out"):
        retry(request, clock)
    assert tries == [0, 61.5]


def _content(url: str) -> bytes:
    with open_url(url, Size(most_bytes=len(BODY))) as answer:
        return answer.content()
