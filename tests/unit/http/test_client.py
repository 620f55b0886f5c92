"""Servers are asked over http and https, and lead nowhere else."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from iecpod.http.client import Size, open_url
from iecpod.http.failures import WebError


class _Leads(BaseHTTPRequestHandler):
    """`/content` holds something; each other path leads to what stands behind `to`, kept in the server."""

    def do_GET(self) -> None:
        if self.path == "/content":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"content " + str(self.headers.get("Authorization")).encode())
            return
        self.send_response(302)
        self.send_header("Location", self.server.to)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def _served(certificate: Path | None = None) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Leads)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with _served() as server:
        yield server


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(_certificate())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with _served(certificate) as server:
        yield server


def _url(server: ThreadingHTTPServer, scheme: str = "http", path: str = "/start") -> str:
    return f"{scheme}://127.0.0.1:{server.server_port}{path}"


def _read(url: str, token: str = "") -> bytes:
    with open_url(url, Size(most_bytes=100), token=token) as answer:
        return answer.content()


def test_what_a_server_holds(plain: ThreadingHTTPServer, secure: ThreadingHTTPServer) -> None:
    assert _read(_url(plain, path="/content")) == _read(_url(secure, "https", "/content")) == b"content None"


def test_a_server_may_lead_to_another(plain: ThreadingHTTPServer, secure: ThreadingHTTPServer) -> None:
    """From http to either, and from https to https; a token stays behind."""
    plain.to, secure.to = _url(secure, "https", "/content"), _url(secure, "https", "/content")  # type: ignore[attr-defined]
    assert _read(_url(plain), "secret") == _read(_url(secure, "https"), "secret") == b"content None"
    assert _read(_url(plain, path="/content"), "secret") == b"content Bearer secret"


def test_https_leads_to_https_alone(plain: ThreadingHTTPServer, secure: ThreadingHTTPServer) -> None:
    secure.to = _url(plain, path="/content")  # type: ignore[attr-defined]
    with pytest.raises(WebError, match="which is not https"):
        _read(_url(secure, "https"))


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,content", "gopher://127.0.0.1/", "FILE:/x"]
)
def test_no_server_leads_to_a_file(plain: ThreadingHTTPServer, secure: ThreadingHTTPServer, to: str) -> None:
    plain.to = secure.to = to  # type: ignore[attr-defined]
    for url in (_url(plain), _url(secure, "https")):
        with pytest.raises(WebError):
            _read(url)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "", "/etc/passwd", "javascript:x"]
)
def test_nothing_else_is_an_address(url: str) -> None:
    with pytest.raises(WebError, match="neither with http:// nor with https://"):
        _read(url)


def _certificate() -> bytes:
    """Of 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + certificate.public_bytes(Encoding.PEM)
