"""OpenPGP key rings: without their ASCII armour, and by the fingerprints of the keys that they hold.

Sources: RFC 4880 (packet headers 4.2, public keys 5.5.2, fingerprints 12.2), RFC 9580 (5.5.4), LibrePGP (version 5).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

#: Armour headers, a blank line, the key in base64, and its checksum behind a `=` (RFC 4880, 6.2).
_ARMOUR = re.compile(
    rb"^-----BEGIN PGP PUBLIC KEY BLOCK-----\s*?\n(?:\w+: .*\n)*\s*\n(?P<key>[A-Za-z0-9+/=\s]+?)"
    rb"(?:^=[A-Za-z0-9+/]{4}\s*)?^-----END PGP PUBLIC KEY BLOCK-----",
    re.MULTILINE,
)

_SIGNATURE, _PRIMARY_KEY, _USER_ID, _SUBKEY, _USER_ATTRIBUTE = 2, 6, 13, 14, 17
_PACKETS_OF_KEYS = (_SIGNATURE, _PRIMARY_KEY, _USER_ID, _SUBKEY, _USER_ATTRIBUTE)


def key_ring(key: bytes) -> bytes:
    """A signing key without its ASCII armour, which apt reads since 1.4 only (Ubuntu 16.04 has 1.2).

    Raises `ValueError` where the armour holds no base64.
    """
    blocks = [base64.b64decode(match["key"]) for match in _ARMOUR.finditer(key)]
    return b"".join(blocks) or key


def primary_fingerprints(ring: bytes) -> tuple[str, ...]:
    """The fingerprint of each primary key of a key ring without armour, in upper-case hex as gpg prints it.

    Raises `ValueError` where anything but public keys is in it: what another reader could find there is not accepted.
    """
    found: list[str] = []
    for tag, body in _packets(ring):
        if tag not in _PACKETS_OF_KEYS or not (found or tag == _PRIMARY_KEY):
            raise ValueError("it holds something else than public keys")
        if tag == _PRIMARY_KEY:
            found.append(_fingerprint(body))
    if not found:
        raise ValueError("it holds no public key")
    return tuple(found)


def _packets(ring: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet, up to the last byte."""
    position = 0
    while position < len(ring):
        tag, start, length = _read_header(ring, position)
        position = start + length
        if position > len(ring):
            raise ValueError("it ends in the middle of a key")
        yield tag, ring[start:position]


def _read_header(ring: bytes, position: int) -> tuple[int, int, int]:
    """Tag, start of the body and its length. Lengths that are given in parts are for messages only."""
    first = ring[position]
    if not first & 0x80:
        raise ValueError("it is no OpenPGP key")
    position += 1
    if not first & 0x40:  # the old format: the size of the length is in the first byte
        if first & 0x03 == 3:
            raise ValueError("a key in it has no length")
        start = position + (1, 2, 4)[first & 0x03]
        return first >> 2 & 0x0F, start, int.from_bytes(ring[position:start], "big")
    tag, size = first & 0x3F, ring[position] if position < len(ring) else 0
    if size < 192:
        return tag, position + 1, size
    if size < 224:
        low = ring[position + 1] if position + 1 < len(ring) else 0
        return tag, position + 2, ((size - 192) << 8) + low + 192
    if size < 255:
        raise ValueError("a key in it has no length")
    return tag, position + 5, int.from_bytes(ring[position + 1 : position + 5], "big")


def _fingerprint(body: bytes) -> str:
    """Of a public key, by its version."""
    version = body[0] if body else 0
    if version == 4 and len(body) < 1 << 16:
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()
    if version in (5, 6):
        mark = {5: b"\x9a", 6: b"\x9b"}[version]
        return hashlib.sha256(mark + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise ValueError(f"it holds a key of version {version}, whose fingerprints are not secure")
