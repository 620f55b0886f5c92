"""Host keys of machines that are not iecpod's: what a server offers, and what known_hosts says of it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko

from iecpod.errors import NodeUnreachable
from iecpod.files.reader import read_regular
from iecpod.ssh_login import HostKey

_SECONDS = 60.0
_MOST_BYTES = 4 * 1024 * 1024


def offered_host_key(node: str, connection: socket.socket, preferred: Sequence[str]) -> HostKey:
    """The key by which a server says who it is; of the `preferred` types where it has one. Nobody logs in.

    Raises `NodeUnreachable`.
    """
    transport = paramiko.Transport(connection)
    try:
        options = transport.get_security_options()
        known = [kind for kind in options.key_types if kind in preferred]
        options.key_types = (*known, *(kind for kind in options.key_types if kind not in known))
        transport.banner_timeout = _SECONDS
        transport.start_client(timeout=_SECONDS)
        key = transport.get_remote_server_key()
        return HostKey(key.get_name(), key.get_base64())
    except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise NodeUnreachable(node, f"no SSH host key: {reason}", "see whether sshd runs there") from error
    finally:
        transport.close()


def known_host_keys(files: Sequence[Path], address: str, port: int) -> tuple[frozenset[HostKey], frozenset[HostKey]]:
    """Those that known_hosts files have of an address, hashed names included, and those that they revoke."""
    name = address if port == 22 else f"[{address}]:{port}"
    known, revoked = set[HostKey](), set[HostKey]()
    for path in files:
        for line in _lines(path):
            if line.startswith("@revoked "):
                revoked.update(_parsed(line.split(" ", 2)[2:]))
            elif not line.startswith(("@", "#")):
                known.update(_matching(line, name))
    return frozenset(known), frozenset(revoked)


def _lines(path: Path) -> list[str]:
    """None of a file that is not there."""
    with contextlib.suppress(OSError):
        return read_regular(path, _MOST_BYTES).decode(errors="replace").splitlines()
    return []


def _matching(line: str, name: str) -> Iterator[HostKey]:
    names, _, rest = line.strip().partition(" ")
    for pattern in names.split(","):
        is_hashed = pattern.startswith("|1|")
        with contextlib.suppress(ValueError, IndexError):
            if pattern == name or (is_hashed and paramiko.HostKeys.hash_host(name, pattern) == pattern):
                yield HostKey.parse(rest)


def _parsed(rest: Sequence[str]) -> Iterator[HostKey]:
    for text in rest:
        with contextlib.suppress(ValueError):
            yield HostKey.parse(text)
