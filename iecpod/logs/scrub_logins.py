"""Passwords behind the name of their user: `curl -u a:x`, `--user a:x`, and `auth: YTp4`, which is `a:x` in base64."""

from __future__ import annotations

import base64
import binascii
import re

from iecpod.descriptors.redaction import SHOWN
from iecpod.logs.cut_spans import cut_spans
from iecpod.logs.scrub_named import NEXT_WORD, span_of_value

_OPTION = re.compile(
    r"--(?<![\w-]--)(?:(?:proxy-|http-)?user(?:pwd)?|(?:src-|dest-)?creds)(?![\w-])=?"
    r"|-(?<=[\s\"',\0]-)[A-Za-z#]{0,8}?[uU]=?"
)
#: Programs whose `-u` takes both; and how far before the option they are.
_PROGRAM = re.compile(r"\b(?:curl|ctr)\b")
_MOST_BEFORE, _MOST_LINES = 400, 8
#: What is looked at may have other options in it.
_LONGEST = 400

_AUTH = re.compile(
    r"(?P<key>[Aa](?i:uth)(?<![A-Za-z](?i:auth))\\?[\"']?(?:[ \t]{0,8}(?:[:=]|%3[AaDd])\s{0,80}|[ \t]{1,8})\\?[\"']?)"
    r"(?P<value>[A-Za-z0-9+/_-]{6,}={0,2})(?![\w+/=-])",
    re.ASCII,
)


def cut_logins(text: str) -> str:
    text = _AUTH.sub(lambda found: found["key"] + SHOWN if _is_login(found["value"]) else found[0], text)
    return cut_spans(text, _OPTION.finditer(text), lambda option: _password_of(text, option))


def _password_of(text: str, option: re.Match[str]) -> tuple[int, int] | None:
    """Numbers are those of a user and a group."""
    if not option[0].startswith("--") and not _is_of_program(text, option.start()):
        return None
    word = None if option[0].endswith("=") else NEXT_WORD.match(text, option.end())
    at = word.end() if word else option.end()
    start, end = span_of_value(text, at, end=at + _LONGEST) or (0, 0)
    colon = text.find(":", start, end) + 1
    if not colon or colon == end or text.startswith((SHOWN, "//"), colon) or text[colon:end].isdigit():
        return None
    return colon, end


def _is_of_program(text: str, at: int) -> bool:
    before = text[max(0, at - _MOST_BEFORE) : at]
    return _PROGRAM.search("\n".join(before.split("\n")[-_MOST_LINES:])) is not None


def _is_login(text: str) -> bool:
    """What is cut off in the middle counts as far as it goes."""
    whole = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    whole = whole[: len(whole) - (len(whole) % 4 == 1)]
    try:
        user, colon, password = base64.b64decode(whole + "=" * (-len(whole) % 4)).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return bool(user and colon) and user.isprintable() and password.isprintable()
