"""Connections to a cluster's API server: TLS as its administrator, over the first way that leads there.

The server is a guest, and believed as such: its certificate must be of the POD's CA.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence

from iecpod.render.kubeconfig import Credentials

#: Opens a TCP connection to (address, port) within seconds; raises OSError.
OpenSocket = Callable[[str, int, float], socket.socket]

_CONNECT_SECONDS = 10.0
#: An emulated API server that is busy takes long to sign.
HANDSHAKE_SECONDS = 60.0
#: Of every request on them.
HEADERS = {"Accept": "application/json"}
#: A peer that acknowledges nothing for so long is gone.
_DEAD_PEER_MILLISECONDS = 60_000


class ApiConnector:
    """`ways` are tried in turn until one has led there, which is the way from then on. `load_credentials` returns None
    for as long as there is no kubeconfig that fits. Threads may connect at once.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        load_credentials: Callable[[], Credentials | None],
        ways: Sequence[OpenSocket],
    ) -> None:
        self.host = f"{address}:{port}"
        self._address = address
        self._port = port
        self._load_credentials = load_credentials
        self._ways = tuple(ways)
        #: The last of the ways is forbidden.
        self.is_shut = False

    @property
    def has_credentials(self) -> bool:
        return self._load_credentials() is not None

    @property
    def is_in_doubt(self) -> bool:
        """There are several ways, and none has led there yet."""
        return len(self._ways) > 1 and not self.is_shut

    def connect(self, seconds: float) -> ssl.SSLSocket:
        """Raises `OSError`, which errors of TLS are as well."""
        credentials = self._load_credentials()
        if credentials is None:
            raise FileNotFoundError("there is no kubeconfig of it on this host")
        context = _context(credentials)
        plain = self._open(max(1.0, min(seconds, _CONNECT_SECONDS)))
        with contextlib.suppress(OSError):  # not TCP: no such option
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MILLISECONDS)
        plain.settimeout(max(1.0, min(seconds, HANDSHAKE_SECONDS)))
        try:
            return context.wrap_socket(plain, server_hostname=self._address)
        except BaseException:
            plain.close()
            raise

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
        self.is_shut = isinstance(failures[-1], PermissionError)
        raise failures[0]


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
