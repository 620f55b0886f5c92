"""How iecpod logs in to a machine that iecpod did not make, and by which host keys it is known."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

_KEY_TYPE = re.compile(r"(ssh|ecdsa)-[a-z0-9@.-]{1,60}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")


class Password:
    """A password that shows in no repr, message or log; `reveal` is for who sends it to the node."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Password(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a password is not stored")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public host key, as it stands in known_hosts: type and base64. Raises `ValueError` for what is none."""

    type: str
    text: str

    def __post_init__(self) -> None:
        try:
            blob = base64.b64decode(self.text, validate=True)
        except (binascii.Error, ValueError):
            blob = b""
        if not _KEY_TYPE.fullmatch(self.type) or not 32 <= len(blob) <= 4096:
            raise ValueError(f"{self.type} {self.text[:20]} is not a host key")

    @property
    def line(self) -> str:
        return f"{self.type} {self.text}"

    @property
    def fingerprint(self) -> str:
        """As ssh prints it."""
        digest = hashlib.sha256(base64.b64decode(self.text)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @classmethod
    def parse(cls, line: str) -> HostKey:
        """`TYPE BASE64`, and whatever comes after it. Raises `ValueError`."""
        kind, _, rest = line.strip().partition(" ")
        return cls(kind, rest.split(" ")[0])


@dataclass(frozen=True, slots=True)
class ExpectedKey:
    """--host-key: a fingerprint or a key that is expected; of the node at `address`, or of any where that is empty."""

    address: str
    fingerprint: str

    @classmethod
    def parse(cls, text: str) -> ExpectedKey:
        """`[ADDRESS=]SHA256:…` or `[ADDRESS=]TYPE BASE64`. Raises `ValueError`."""
        address, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[0-9.]{7,15}", address):
            address, value = "", text
        if _FINGERPRINT.fullmatch(value):
            return cls(address, value)
        return cls(address, HostKey.parse(value).fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What was given to log in with, once: from then on the POD's own key is used.

    Without a password or key files, the agent and the keys of this user are tried. Host keys that are neither in
    `known_hosts` nor `expected` are refused, unless new ones are accepted.
    """

    user: str | None = None
    password: Password | None = None
    key_files: tuple[Path, ...] = ()
    expected: tuple[ExpectedKey, ...] = ()
    known_hosts: tuple[Path, ...] = ()
    accept_new: bool = False

    @property
    def is_by_default(self) -> bool:
        return self.password is None and not self.key_files

    def describe(self) -> str:
        """What is tried, in words."""
        ways = [f"the key {path}" for path in self.key_files]
        ways += ["the password that was given"] if self.password is not None else []
        return " and ".join(ways) or "the agent's keys and those of this user"


def check_user(name: str) -> str:
    """The name, as it is. Raises `ValueError` for what is no name of a user."""
    if not _USER.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a user")
    return name
