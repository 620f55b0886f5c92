"""Proxies of the environment: which one an address is reached through, and that it is asked."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iecpod.http.client import Size, open_url
from iecpod.http.failures import WebError
from iecpod.http.proxies import Proxy, find_proxy

_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class _Proxy(BaseHTTPRequestHandler):
    """Answers whatever is asked of it; tunnels are refused."""

    def do_GET(self) -> None:
        login = self.headers.get("Proxy-Authorization", "")
        content = f"{self.path} {login}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_CONNECT(self) -> None:
        self.send_error(403, "Not through here")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _read(url: str) -> bytes:
    with open_url(url, Size(most_bytes=1000)) as answer:
        return answer.content()


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://cache:3128", Proxy("http://cache:3128")),
        ("http://cache:3128/", Proxy("http://cache:3128")),
        ("cache:3128", Proxy("http://cache:3128")),
        ("http://us%40er:p%3Aw@cache:3128", Proxy("http://cache:3128", "us@er:p:w")),
        ("https://cache", Proxy("https://cache")),
    ],
)
def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, proxy: Proxy) -> None:
    monkeypatch.setenv("http_proxy", value)
    assert find_proxy("http://example.org/x") == proxy
    assert find_proxy("https://example.org/x") is None


def test_what_is_reached_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://cache:3128")
    monkeypatch.setenv("no_proxy", "example.org,10.0.0.1")
    found = {url: find_proxy(url) for url in ("https://a.example.org/", "https://10.0.0.1:5000/v2/", "https://other/")}
    assert [bool(one) for one in found.values()] == [False, False, True]


def test_a_proxy_is_asked_with_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", f"http://user:word@{proxy}")
    login = base64.b64encode(b"user:word").decode()
    assert _read("http://nowhere.invalid/x?y=1") == f"http://nowhere.invalid/x?y=1 Basic {login}".encode()


def test_a_tunnel_that_is_refused(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(WebError, match="Tunnel connection failed: 403 Not through here"):
        _read("https://nowhere.invalid/x")


def test_another_kind_of_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(WebError, match="socks5"):
        _read("http://nowhere.invalid/")
