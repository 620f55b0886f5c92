"""Addresses on web servers, with nothing in them that a shell, a source of apt or another file could read as more."""

from __future__ import annotations

import re

from iecpod.units import shorten

#: RFC 3986 without what quotes or ends something elsewhere: no space, quote, backslash, `$` or control character.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]+\])"
_USER = r"[A-Za-z0-9._~%+,;=:-]+"
_REST = r"(?:[/?][A-Za-z0-9._~:/?@&+,;=%-]*)?"
_URL = re.compile(rf"(?i:https?)://(?P<user>{_USER}@)?{_HOST}(?::[0-9]{{1,5}})?{_REST}")


def check_open_url(text: str) -> str:
    """As `check_http_url`, and without a user or password: it is read in files of nodes, and in lists of processes."""
    match = _URL.fullmatch(text)
    if match is None or match["user"]:
        raise ValueError("it is not a URL of http or https, or holds a user or password")
    return text


def check_http_url(text: str) -> str:
    """The text as it is. Raises `ValueError` with a sentence for people."""
    if _URL.fullmatch(text) is None:
        raise ValueError(
            f"{shorten(text)} is not a URL: http:// or https://, a host, and a path without odd characters"
        )
    return text
