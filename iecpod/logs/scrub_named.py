"""Values that are called secret: `password: x`, `PGPASSWORD=x`, `--token x`, `<secret>x<`, on the line or on the next.

Every name is looked at once, and what was taken for a value is not looked at again, so the work is linear.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

from iecpod.descriptors.redaction import SHOWN

#: In lower case. Behind one of them may stand more of the name: `token_value`, `secret_access_key`.
_NOUNS = (
    r"passw(?:or)?ds?|pass[_-]?phrase|pass(?<![a-z]pass)|pwd(?<=[_-]pwd)|secrets?|tokens?|credentials?"
    r"|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|secret[_-]?keys?|session[_-]?keys?|encryption[_-]?keys?"
    r"|shared[_-]?keys?|client-key-data|certificate-key"
)
_NAME = re.compile(rf"(?:{_NOUNS})(?:[_-]?(?:access[_-]?key|data|hash|value|text|base64|b64|key))?(?![a-z0-9])")
_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}
_MOST_OF_A_NAME = 80
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")

#: The rest of the name's quotes, and what says that a value follows.
_SIGN = re.compile(r"(?P<quote>\\?[\"'])?[ \t]{0,8}(?P<sign>:=|=>|[:=>])[ \t]{0,80}")
#: Between an option and the next word: of a command line, of its words as JSON or YAML, of /proc/PID/cmdline.
_NEXT_WORD = re.compile(
    r"[\"']?,?[ \t\n]{1,80}(?=[\"'])|[ \t]{0,80}\r?\n[ \t]{0,80}- (?=\S)|[ \t\0]{1,8}(?=[^-\"'\s\0])", re.ASCII
)
_LINE_END = re.compile(r"(?P<bar>[|>][0-9+-]{0,2})?[ \t]{0,80}\r?\n")

_ESCAPED = re.compile(r'\\"([^"\\\n]*(?:(?:\\\\\\"|\\(?!"))[^"\\\n]*)*)')
_DOUBLE = re.compile(r'"([^"\\\n]*(?:\\.[^"\\\n]*)*)')
_SINGLE = re.compile(r"""'([^'\n]*(?:(?:''|'"'"'|'\\'')[^'\n]*)*)""")
_WORD = re.compile(r"""([^\s"',;}<\\\0]*(?:\\(?![nrt"'])[^\s"',;}<\\\0]*)*)""")
_LONG_WORD = re.compile(r"(\S+)")
_REST_OF_LINE = re.compile(r"([^\s](?:[^\n]*\S)?)")
_REST_OF_ENTRY = re.compile(r"([^\s,}](?:[^\n,}]*[^\s,}])?)")
_ELEMENT = re.compile(r"([^<\n]*)")

#: What is no value, but another entry of a mapping or list, a comment or a bracket.
_ANOTHER = r"(?![\w.\"'-]{1,80}:(?:\s|$)|-{1,3}\s|[#}\]])"
_BLOCK = re.compile(r"(?P<indent>[ \t]{1,80})(\S[^\n]*(?:\n(?P=indent)[^\n]*)*)")
_ITEMS = re.compile(rf"((?:[ \t]{{0,80}}- {_ANOTHER}\S[^\n]*(?:\n|$))+)")
_INDENTED = re.compile(rf"[ \t]{{1,80}}{_ANOTHER}(?=\S)")
_ALONE = re.compile(rf"{_ANOTHER}(?=\S+[ \t\r]{{0,80}}(?:\n|$))")


@dataclass(frozen=True, slots=True)
class _Place:
    """The word that a name is part of: where it begins, what quotes it, where in a line or in `{a: b}` it stands."""

    begin: int
    quote: str
    is_option: bool
    is_first: bool
    is_in_braces: bool

    @classmethod
    def of(cls, text: str, name: re.Match[str]) -> _Place:
        begin, least = name.start(), max(0, name.start() - _MOST_OF_A_NAME)
        while begin > least and text[begin - 1] in _NAME_CHARACTERS:
            begin -= 1
        before = text[max(0, begin - _MOST_OF_A_NAME) : begin]
        line = before.rpartition("\n")
        whole = line[1] or begin < _MOST_OF_A_NAME
        quote = before[-1:] if before[-1:] in ('"', "'") else ""
        escaped = "\\" if quote and before[-2:-1] == "\\" else ""
        return cls(
            begin=begin,
            quote=escaped + quote,
            is_option=text.startswith("-", begin),
            is_in_braces=before.rstrip()[-1:] in ("{", ","),
            is_first=bool(whole) and line[2].strip(" \t") in ("", "-", quote),
        )


def is_secret_name(name: str) -> bool:
    """Whether a key is called a secret."""
    return any(found.end() == len(name) for found in _NAME.finditer(name.translate(_LOWER)))


def cut_named_values(text: str) -> str:
    pieces: list[str] = []
    cursor = 0
    for name in _NAME.finditer(text.translate(_LOWER)):
        if name.start() < cursor:
            continue
        span = _value_of(text, name)
        if span is not None and span[0] < span[1]:
            pieces += (text[cursor : span[0]], text[slice(*span)] if text.startswith(SHOWN, span[0]) else SHOWN)
            cursor = span[1]
    return "".join([*pieces, text[cursor:]]) if pieces else text


def _value_of(text: str, name: re.Match[str]) -> tuple[int, int] | None:
    """Where the value of a name is; None where nothing follows that could be one."""
    place = _Place.of(text, name)
    sign = _SIGN.match(text, name.end())
    if sign is None:
        word = _NEXT_WORD.match(text, name.end()) if place.is_option else None
        return _span(text, word.end(), _WORD) if word else None
    if sign["sign"] == ">":
        is_element = sign[0] == ">" and text.startswith(("<", ":"), place.begin - 1)
        return _ELEMENT.match(text, sign.end()).span(1) if is_element else None  # type: ignore[union-attr]
    line_end = _LINE_END.match(text, sign.end())
    if line_end is not None:
        return _on_next_lines(text, line_end) if sign["sign"] == ":" else None
    if place.quote and sign["quote"] is None:
        return _until_quote(text, place.quote, sign.end())
    if place.is_in_braces and sign[0] == ": ":
        return _span(text, sign.end(), _REST_OF_ENTRY)
    if place.is_first and sign["quote"] is None:
        return _span(text, sign.end(), _REST_OF_LINE if sign[0][-1] in " \t" else _LONG_WORD)
    return _span(text, sign.end(), _WORD)


def _span(text: str, at: int, bare: re.Pattern[str]) -> tuple[int, int] | None:
    for pattern in (_ESCAPED, _DOUBLE, _SINGLE, bare):
        if (found := pattern.match(text, at)) is not None:
            return found.span(1)
    return None


def _until_quote(text: str, quote: str, at: int) -> tuple[int, int]:
    """What is left of a quoted text that holds name and value: `"PGPASSWORD=two words"`."""
    rest = {'"': r'[^"\\\n]*(?:\\.[^"\\\n]*)*', "'": r"[^'\n]*", '\\"': r'[^"\\\n]*(?:(?:\\\\\\"|\\(?!"))[^"\\\n]*)*'}
    found = re.compile(rest.get(quote, r"[^'\"\n]*")).match(text, at)
    return at, found.end() if found else at


def _on_next_lines(text: str, line_end: re.Match[str]) -> tuple[int, int] | None:
    if line_end["bar"]:
        block = _BLOCK.match(text, line_end.end())
        return block.span(2) if block else None
    if (items := _ITEMS.match(text, line_end.end())) is not None:
        return items.start(1), items.end(1) - items[1].endswith("\n")
    if (indent := _INDENTED.match(text, line_end.end())) is not None:
        return _span(text, indent.end(), _REST_OF_LINE)
    alone = _ALONE.match(text, line_end.end())
    return _span(text, alone.end(), _LONG_WORD) if alone else None
