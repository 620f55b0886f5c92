"""Cuts secrets out of what is handed on: those with a shape of their own, and those that the POD is known to have."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from iecpod.descriptors.secrets import SHOWN

#: A line of a key that was cut in two is told from other text by a run of base64 so long, or a shorter one at its end.
_KEY_LINE = re.compile(r"[A-Za-z0-9+/]{40}|[A-Za-z0-9+/]{20}={0,2}\s*$")
_BEGIN = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
_END = r"-----END [A-Z0-9 ]*PRIVATE KEY-----"

#: What is left of each match is its first group, where it has one.
_SHAPES = (
    # Keys: in lines of their own, behind the time and name of a journal, or with newlines escaped as in JSON.
    re.compile(rf"{_BEGIN}(?:(?!{_BEGIN}).){{0,20000}}?{_END}", re.DOTALL),
    # Kubernetes, "Authenticating with Bootstrap Tokens".
    re.compile(r"(?<![\w-])(?<!\w\.)[a-z0-9]{6}\.[a-z0-9]{16}(?![\w-]|\.\w)"),
    # Service account and OIDC tokens (RFC 7519).
    re.compile(r"(?<![\w-])eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"),
    re.compile(r"((?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:bearer|basic|digest)\s+)[^\s\"',]+"),
    re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/@\"'<>]{1,200}(?=@)"),
    # crypt(5).
    re.compile(r"\$(?:1|5|6|7|y|gy|2[abxy])\$[^\s:\"',]{8,}"),
    re.compile(
        r"((?<![A-Za-z])(?i:client-key-data|token-secret|certificate-key|tokens?|passw(?:or)?d|passphrase|pass)"
        r"\\?[\"']?[ \t]{0,8}[:=][ \t]{0,8}\\?[\"']?)(?!\(secret\))[^\s\"',;}\\]+"
    ),
)
#: Base64 of `-----BEGIN`: certificates are public, keys are not.
_ENCODED_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,}={0,2}")

#: Shorter ones are words of everyday, as `admin`: they are cut only where they are called a password.
_LEAST_LENGTH = 6
#: What is so long is no word, and may stand in the middle of one, as behind the `\\n` of a key in JSON.
_KEY_LENGTH = 32
_PASSWORD_KEYS = re.compile(
    r"pass(?:word|wd|phrase)?|secret|token|.*[_-](?:pass(?:word|wd)?|secret|token)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Scrubber:
    """`known` are secrets of the POD as texts: they are cut wherever they stand as a whole word."""

    known: frozenset[str] = field(default=frozenset(), repr=False)

    def scrub(self, content: bytes) -> bytes:
        """The content with every secret replaced; bytes that are no text stay as they are."""
        return self.scrub_text(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def scrub_text(self, text: str) -> str:
        for secret in sorted(self.known, key=len, reverse=True):
            if len(secret) >= _KEY_LENGTH:
                text = text.replace(secret, SHOWN)
            elif len(secret) >= _LEAST_LENGTH and secret in text:
                text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", SHOWN, text)
        text = _ENCODED_PEM.sub(_cut_encoded_key, text)
        for shape in _SHAPES:
            text = shape.sub(rf"\1{SHOWN}" if shape.groups else SHOWN, text)
        return _cut_parts_of_keys(text) if "PRIVATE KEY-----" in text else text


def secrets_of_key(text: str) -> Iterator[str]:
    """Every line of a private key (PEM), so that a part of it is known, too."""
    return (line for line in text.split() if len(line) >= _KEY_LENGTH and not line.startswith("-"))


def secrets_of_kubeconfig(text: str) -> Iterator[str]:
    for key, value in re.findall(r"^\s*(client-key-data|token|password):\s*(\S+)", text, re.MULTILINE):
        yield value
        if key == "client-key-data":
            yield from secrets_of_key(_decoded(value))


def secrets_of_descriptor(texts: Iterable[tuple[tuple[str | int, ...], str]]) -> Iterator[str]:
    """Values of keys that are called a password; `texts` are the values of a document with their paths."""
    return (text for path, text in texts if path and _PASSWORD_KEYS.fullmatch(str(path[-1])))


def _cut_parts_of_keys(text: str) -> str:
    """Keys whose beginning or end a bound has cut off: the line that names one, and what looks like a key beside it."""
    lines = text.split("\n")
    cut: set[int] = set()
    for index, line in enumerate(lines):
        if re.search(_BEGIN, line):
            after = itertools.takewhile(lambda at: _KEY_LINE.search(lines[at]), range(index + 1, len(lines)))
            cut.update([index, *after])
        elif re.search(_END, line):
            # The last line of a key, and the first of a text that was cut, are of any length.
            above = range(index - 2, -1, -1)
            before = itertools.takewhile(lambda at: at == 0 or _KEY_LINE.search(lines[at]), above)
            cut.update([index, index - 1, *before])
    return "\n".join(SHOWN if index in cut else line for index, line in enumerate(lines))


def _cut_encoded_key(match: re.Match[str]) -> str:
    return SHOWN if "PRIVATE KEY" in _decoded(match[0]) else match[0]


def _decoded(text: str) -> str:
    """Base64 that was cut off is decoded as far as it goes."""
    whole = text.rstrip("=")
    whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode(errors="replace")
    except binascii.Error:
        return ""
