"""Cuts secrets out of what is handed on: those with a shape or a name, and those that the POD is known to have.

Every pass is linear in the length of the text, whatever is in it: a node that writes its own logs cannot make it slow.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from iecpod.descriptors.redaction import SHOWN
from iecpod.logs.scrub_headers import cut_headers
from iecpod.logs.scrub_keys import cut_private_keys
from iecpod.logs.scrub_known import KnownSecrets
from iecpod.logs.scrub_logins import cut_logins
from iecpod.logs.scrub_named import cut_named_values, is_secret_name
from iecpod.logs.scrub_pairs import cut_paired_values

#: A private key's lines are longer; its last one may be shorter, and is cut with the key.
_KEY_LENGTH = 32

_NOT_SHOWN = r"(?!\(secret\))"

#: What is left of each match is its first group, where it has one. A literal or a class comes first, so that most of
#: a text is passed over at once.
_SHAPES = (
    # Kubernetes, "Authenticating with Bootstrap Tokens".
    re.compile(r"(?<![\w-])(?<!\w\.)[a-z0-9]{6}\.[a-z0-9]{16}(?![\w-]|\.\w)"),
    # Service account and OIDC tokens (RFC 7519).
    re.compile(r"eyJ(?:(?<![\w-]eyJ)|(?<=%[0-9A-Fa-f]{2}eyJ)|(?<=\\[nrt]eyJ))[\w-]{10,}\.[\w-]{10,}\.[\w-]*"),
    # Tokens of GitHub, GitLab, Slack, Docker Hub, npm, PyPI, Vault, Google and age, by their prefixes.
    re.compile(r"gh[oprsu]_[A-Za-z0-9]{10,}|github_pat_\w{10,}", re.ASCII),
    re.compile(r"gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|soat)-[\w.-]{10,}", re.ASCII),
    re.compile(r"x(?:ox[a-z](?:\.xox[a-z])?|app-\d)-[\w-]{10,}", re.ASCII),
    re.compile(
        r"dckr_pat_[\w-]{10,}|npm_[A-Za-z0-9]{20,}|pypi-AgE[\w-]{20,}|hv[bs]\.[\w-]{20,}|AIza[\w-]{35}", re.ASCII
    ),
    re.compile(r"AGE-SECRET-KEY-1[A-Z0-9]{20,}"),
    # Secrets before and behind access keys of AWS, and these.
    re.compile(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?=[^A-Za-z0-9+]{1,16}A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9]))"),
    re.compile(
        r"(A(?:KIA|SIA)[A-Z0-9]{16}[^A-Za-z0-9+]{1,16}(?:[A-Za-z_-]{1,24}[^A-Za-z0-9+]{1,16})?)"
        r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
    ),
    re.compile(r"A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    # `{"auths":` of a docker configuration in base64.
    re.compile(r"eyJhdXRocyI[A-Za-z0-9+/]{10,}={0,2}"),
    re.compile(r"([Bb](?i:earer)[ \t]{1,8})[A-Za-z0-9._~+/-]{16,}={0,2}"),
    # User and password of a URL: up to the last @ before the path, since passwords may hold one.
    re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/\"'<>]{1,200}(?=@)"),
    # crypt(5).
    re.compile(r"\$(?:1|5|6|7|y|gy|2[abxy])\$[^\s:\"',]{8,}"),
    # Docker's config.json, and npm's.
    re.compile(r"(\"auth\\?\"[ \t]{0,8}:[ \t]{0,8}\\?\")[A-Za-z0-9+/=_-]{4,}"),
    re.compile(r"(_auth(?<![A-Za-z]_auth)[ \t]{0,8}=[ \t]{0,8}\"?)[A-Za-z0-9+/=_-]{4,}"),
    re.compile(rf"(\bsshpass[ \t]{{1,8}}-p[ \t]{{0,8}}){_NOT_SHOWN}[^\s\"']+"),
    re.compile(rf"(\bipmitool\b[^\n]{{0,200}}?[ \t]-P[ \t]{{0,8}}){_NOT_SHOWN}[^\s\"']+"),
)


class Scrubber:
    """`known` are secrets of the POD as texts."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = frozenset(known)

    @cached_property
    def _known_secrets(self) -> KnownSecrets:
        return KnownSecrets(self._known)

    def scrub(self, content: bytes) -> bytes:
        """The content with every secret replaced; bytes that are no text stay as they are."""
        return self.scrub_text(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")

    def scrub_text(self, text: str) -> str:
        text = self._known_secrets.cut(cut_private_keys(text))
        for shape in _SHAPES:
            text = shape.sub(rf"\1{SHOWN}" if shape.groups else SHOWN, text)
        return cut_named_values(cut_logins(cut_paired_values(cut_headers(text))))


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
    return (text for path, text in texts if path and is_secret_name(str(path[-1])))


def _decoded(text: str) -> str:
    """Base64 that was cut off is decoded as far as it goes."""
    whole = text.rstrip("=")
    whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode(errors="replace")
    except binascii.Error:
        return ""
