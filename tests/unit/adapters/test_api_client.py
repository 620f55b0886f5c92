"""`ApiClient` against a TLS server on loopback that asks for a client's certificate, as an API server does."""

from __future__ import annotations

import dataclasses
import http.server
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iecpod.adapters import api_client
from iecpod.adapters.api_client import ApiClient
from iecpod.adapters.api_connector import ApiConnector, OpenSocket
from iecpod.errors import NodeUnreachable
from iecpod.http.client import Size
from iecpod.ssh.keys import PodKeys, ensure_pod_keys
from iecpod.wiring.own_kubeconfig import OwnKubeconfig
from tests.unit.deploy.admin_conf import SERVER, Authority, admin_conf, authority, credentials, pem, server_pair
from tests.unit.ssh.test_shell import make_shell, node_server


def server_context(directory: Path, address: str = "127.0.0.1") -> ssl.SSLContext:
    (directory / "server.pem").write_bytes(b"".join(server_pair(address)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    context.load_verify_locations(cadata=pem(authority().certificate).decode())
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Server:
    """Answers with what `answer` makes of method, path and body, or closes where that is None.

    A watch is given `reports` as they come, until one is empty.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.answer: Callable[[str, str, bytes], bytes | None] = lambda *_: b"{}"
        self.date: str | None = None
        self.reports: queue.Queue[bytes] = queue.Queue()
        self.watched: list[str] = []
        self.connections = 0
        self.clients: list[Any] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.connections += 1
                server.clients.append(self.connection.getpeercert())

            def watch(self) -> None:
                server.watched.append(self.path)
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while report := server.reports.get():
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(report), report))
                self.wfile.write(b"0\r\n\r\n")

            def do(self) -> None:
                if "watch=true" in self.path:
                    self.watch()
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                content = server.answer(self.command, self.path, body)
                if content is None:
                    self.close_connection = True
                    return
                self.send_response(404 if self.path == "/missing" else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(timestamp) if server.date is None else server.date

            do_GET = do_POST = do_PATCH = do_DELETE = do

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Tls(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.http = Tls(("127.0.0.1", 0), Handler)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.port: int = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(server_context(tmp_path))
    yield server
    server.close()


def direct(address: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((address, port), seconds)


def client_of(server: Server, *ways: OpenSocket, ca: Authority | None = None) -> ApiClient:
    ways = ways or (direct,)
    connector = ApiConnector("127.0.0.1", server.port, load_credentials=lambda: credentials(ca), ways=ways)
    return ApiClient("iec01", connector)


def ask(client: ApiClient, path: str = "/api", method: str = "GET", body: bytes = b"", seconds: float = 20.0) -> bytes:
    return client.request(method, path, body=body, timeout_seconds=seconds).content


def test_it_is_the_administrator_and_keeps_its_connection(server: Server) -> None:
    server.answer = lambda method, path, body: f"{method} {path} ".encode() + body
    client = client_of(server)
    assert ask(client) == b"GET /api " and ask(client, "/b", "PATCH", b"c") == b"PATCH /b c"
    assert client.request("GET", "/missing", timeout_seconds=20).status == 404
    assert server.connections == 1
    assert server.clients[0]["subject"][-1] == (("commonName", "kubernetes-admin"),)


def test_the_time_of_an_answer_is_that_of_its_server(server: Server) -> None:
    client = client_of(server)
    sent_at = client.request("GET", "/api", timeout_seconds=20).sent_at
    assert sent_at is not None and abs(sent_at - time.time()) < 20
    server.date = "Sun, 29 Nov 2026 11:56:24 GMT"
    assert client.request("GET", "/api", timeout_seconds=20).sent_at == 1_795_953_384.0


@pytest.mark.parametrize(
    "date",
    [
        "",
        "GMT",
        " GMT",
        "soon GMT",
        "Sun, 29 Nov 2026 11:56:24 +0100",
        "Sun, 99 Nov 2026 11:56:24 GMT",
        "1" * 30 + " GMT",
        "Sun, 29 Nov 99999999 11:56:24 GMT",
        "2026-11-29T11:56:24Z",
    ],
)
def test_a_date_that_is_none_says_nothing(server: Server, date: str) -> None:
    server.date = date
    assert client_of(server).request("GET", "/api", timeout_seconds=20).sent_at is None


def test_threads_may_ask_at_once(server: Server) -> None:
    client = client_of(server)
    answers: list[bool] = []
    server.answer = lambda _method, path, _body: path.encode()

    def work(number: int) -> None:
        answers.extend(ask(client, f"/{number}") == f"/{number}".encode() for _ in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 80


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "POST"])
def test_a_request_that_a_kept_connection_lost_is_sent_again_unless_it_makes_something(
    server: Server, method: str
) -> None:
    client = client_of(server)
    seen: list[str] = []

    def answer(method: str, path: str, _body: bytes) -> bytes | None:
        seen.append(f"{method} {path}")
        return b"{}" if len(seen) != 2 else None

    server.answer = answer
    ask(client)
    if method == "POST":
        with pytest.raises(NodeUnreachable):
            ask(client, "/x", method, b"{}")
    else:
        assert ask(client, "/x", method) == b"{}"
    assert len(seen) == (2 if method == "POST" else 3) and ask(client) == b"{}"


def test_a_connection_that_was_long_unused_is_not_trusted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "_FRESH_SECONDS", -1.0)
    client = client_of(server)
    assert ask(client, "/x", "POST", b"{}") == ask(client, "/x", "POST", b"{}") == b"{}"
    assert server.connections == 2


def test_another_machine_s_certificate_is_no_answer(server: Server) -> None:
    with pytest.raises(NodeUnreachable, match=r"127\.0\.0\.1:\d+ does not answer: .*certificate verify failed"):
        ask(client_of(server, ca=authority("another")))


def test_a_certificate_for_another_address_is_no_answer(tmp_path: Path) -> None:
    server = Server(server_context(tmp_path, "127.0.0.2"))
    try:
        with pytest.raises(NodeUnreachable, match="IP address mismatch"):
            ask(client_of(server))
    finally:
        server.close()


def test_a_server_that_is_down_is_no_answer(server: Server) -> None:
    client = client_of(server)
    assert ask(client) == b"{}"
    server.close()
    client.close()
    with pytest.raises(NodeUnreachable, match="Connection refused"):
        ask(client)
    assert client.is_ready()


def test_an_answer_that_trickles_ends_in_time(server: Server) -> None:
    def answer(_method: str, _path: str, _body: bytes) -> bytes:
        time.sleep(30)
        return b"{}"

    server.answer = answer
    start = time.monotonic()
    with pytest.raises(NodeUnreachable):
        ask(client_of(server), seconds=1.5)
    assert time.monotonic() - start < 10


def test_an_answer_without_end_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "_SIZE", Size(most_bytes=1000))
    server.answer = lambda *_: b"x" * 1001
    with pytest.raises(NodeUnreachable, match="more than 1000 bytes"):
        ask(client_of(server))


# The way there


def nowhere(_address: str, _port: int, _seconds: float) -> socket.socket:
    raise TimeoutError("timed out")


def prohibited(_address: str, _port: int, _seconds: float) -> socket.socket:
    raise PermissionError("no forwarding")


def test_the_second_way_is_taken_where_the_first_leads_nowhere_and_kept(server: Server) -> None:
    tried: list[str] = []

    def first(address: str, port: int, seconds: float) -> socket.socket:
        tried.append("first")
        return nowhere(address, port, seconds)

    client = client_of(server, first, direct)
    assert client.is_ready() and ask(client) == b"{}"
    client.close()
    assert ask(client) == b"{}" and tried == ["first"]


def test_without_any_way_it_is_not_ready_and_with_a_silent_server_it_is(server: Server) -> None:
    assert not client_of(server, nowhere, prohibited).is_ready()
    assert client_of(server, nowhere, nowhere).is_ready()


def test_the_kubeconfig_is_that_of_the_cluster_or_none(tmp_path: Path) -> None:
    own = OwnKubeconfig(tmp_path / "kubeconfig", "iec01", SERVER)
    assert own.load() is None
    own.path.write_bytes(admin_conf())
    own.path.chmod(0o600)
    assert own.load() == credentials()
    assert dataclasses.replace(own, server="https://172.16.10.99:6443").load() is None
    own.path.write_bytes(b"{}")
    assert own.load() is None


@pytest.fixture
def keys(tmp_path: Path) -> PodKeys:
    keys = ensure_pod_keys(tmp_path / "keys", "test")
    keys.host_key("iec01")
    return keys


def test_a_node_s_ssh_connection_leads_there(server: Server, tmp_path: Path, keys: PodKeys) -> None:
    ssh = node_server(tmp_path, keys)
    shell = make_shell(ssh.port, keys)
    server.answer = lambda *_: b"x" * 300_000
    client = client_of(server, nowhere, shell.open_tunnel)
    assert client.is_ready() and ask(client, "/x", "PATCH", b"y" * 300_000) == b"x" * 300_000
    assert len(ask(client)) == 300_000 and (ssh.connections, server.connections) == (1, 1)
    shell.close()
    ssh.close()


def test_a_tunnel_says_what_does_not_answer(server: Server, tmp_path: Path, keys: PodKeys) -> None:
    ssh = node_server(tmp_path, keys)
    shell = make_shell(ssh.port, keys)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ConnectionRefusedError, match="node itself does not reach"):
        shell.open_tunnel("127.0.0.1", port, 10)
    ssh.forwards = False
    assert not client_of(server, nowhere, shell.open_tunnel).is_ready()
    shell.close()
    ssh.close()
    with pytest.raises(OSError, match="no connection"):
        shell.open_tunnel("127.0.0.1", server.port, 10)
