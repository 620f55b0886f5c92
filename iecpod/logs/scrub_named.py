"""Values that are called secret: `password: x`, `PGPASSWORD=x`, `--token x`, `<secret>x<`, on the line or on the next.

Signs may be escaped as in URLs, XML and JSON: `password%3Dx`, `&lt;secret&gt;x`, `\\u003csecret\\u003ex`.

Every name is looked at once, and what was taken for a value is not looked at again, so the work is linear.
"""

from __future__ import annotations

import re
import string
import sys
from dataclasses import dataclass

from iecpod.logs.cut_spans import cut_spans

#: `DBPASS`, but not words that end so. `sshpass:` begins what that program says.
_NOT_A_PASS = (
    "com",
    "by",
    "tres",
    "sur",
    "over",
    "under",
    "multi",
    "first",
    "one",
    "two",
    "single",
    "low",
    "high",
    "all",
)
_PASS = (
    r"pass(?:(?<![a-z]pass)"
    rf"|{''.join(f'(?<!{word}pass)' for word in _NOT_A_PASS)}(?:(?<!sshpass)|(?=[ \t]{{0,8}}=)))"
)
#: In lower case. Behind one of them may stand more of the name: `token_value`, `secret_access_key`.
_NOUNS = (
    rf"passw(?:or)?ds?(?<!nopasswd)(?<!lock_passwd)|pass[_-]?phrase|{_PASS}|pwd(?<=[a-z_;&-]pwd)(?<!oldpwd)"
    r"|secrets?|tokens?|credentials?"
    r"|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|secret[_-]?keys?|session[_-]?keys?|encryption[_-]?keys?"
    r"|shared[_-]?keys?|client-key-data|certificate-key|docker(?:configjson|cfg)"
)
_NAME = re.compile(rf"(?:{_NOUNS})(?:[_-]?(?:access[_-]?key|data|hash|value|text|base64|b64|key))?(?![a-z0-9])")
_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}
_MOST_OF_A_NAME = 80
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")

#: What is no value, but another entry of a mapping or list, a comment or a bracket.
_ANOTHER = r"(?![\w.\"'-]{1,80}:(?:\s|$)|-{1,3}\s|[#}\]])"
_ASSIGNMENT = r"(?![\w.-]{1,80}[ \t]{0,8}=[^=\s])"

#: The rest of the name's quotes, and what says that a value follows.
_SIGN = re.compile(
    r"(?P<quote>\\?[\"']|%2[27])?[ \t]{0,8}(?P<sign>:=|=>|[:=>]|%(?:25)?3[AaDd]|&gt;|\\u003[eE])[ \t]{0,80}"
)
#: `\` before a line's end, as it is and in JSON.
_CONTINUED = r"(?:\\\r?\n|\\\\\\n)"
#: Between an option and the next word: of a command line, of its words as JSON or YAML, of /proc/PID/cmdline.
NEXT_WORD = re.compile(
    r"[\"']?,?[ \t\n]{1,80}(?=[\"'])|\\?[\"'],[ \t\n]{0,80}(?=\\?[\"'])|[ \t]{0,80}\r?\n[ \t]{0,80}- (?=\S)"
    rf"|[ \t]{{0,80}}(?:{_CONTINUED}[ \t]{{0,80}}){{1,4}}(?=[^-\s\0])|[ \t\0]{{1,8}}(?!{_CONTINUED})(?=[^-\"'\s\0])"
    rf"|[ \t]{{0,80}}\r?\n(?:[ \t]{{1,80}}{_ANOTHER}(?=[^-\s])|{_ANOTHER}(?=[^-\s]\S*[ \t\r]{{0,80}}(?:\n|$)))",
    re.ASCII,
)
LINE_END = re.compile(r"(?P<bar>[|>][0-9+-]{0,2})?[ \t]{0,80}\\?\r?\n")

_ESCAPED = re.compile(r'\\"([^"\\\n]*(?:(?:\\\\\\"|\\(?!"))[^"\\\n]*)*)')
_DOUBLE = re.compile(r'"([^"\\\n]*(?:\\.[^"\\\n]*)*)')
_SINGLE = re.compile(r"""'([^'\n]*(?:(?:''|'"'"'|'\\'')[^'\n]*)*)""")
WORD = re.compile(r"""([^\s"',;}<\\\0]*(?:\\(?![nrt"'])[^\s"',;}<\\\0]*)*)""")
_LONG_WORD = re.compile(r"(\S+)")
_REST_OF_LINE = re.compile(r"([^\s](?:[^\n]*\S)?)")
_REST_OF_ENTRY = re.compile(r"([^\s,}](?:[^\n,}]*[^\s,}])?)")
#: Up to the next parameter.
_URL_ENCODED = re.compile(r"(?:%2[27])?((?:[^\s\"',;<\\\0&%]|%(?!26|0[AaDd]|2[27]))+)")

#: `<`, also as XML in XML and in JSON have it, and a name.
_ELEMENT_NAME = re.compile(r"(?:<|&lt;|\\u003[cC])(?:[\w.-]{1,40}:)?[\w.-]{0,40}\Z", re.ASCII)
_ATTRIBUTES = re.compile(r"\s(?:(?!&gt;|\\u003[eE])[^<>]){0,200}(?<!/)(?:>|&gt;|\\u003[eE])")
_CONTENT = re.compile(r"\s{0,80}(?:<!\[CDATA\[)?((?:(?!&lt;|\\u003[cC]|\]\]>)[^<\n])*)")

_BLOCK = re.compile(r"(?P<indent>[ \t]{1,80})(\S[^\n]*(?:\n(?P=indent)[^\n]*)*)")
_ITEMS = re.compile(rf"((?:[ \t]{{0,80}}- {_ANOTHER}\S[^\n]*(?:\n|$))+)")
_INDENTED = re.compile(rf"[ \t]{{1,80}}{_ANOTHER}(?=\S)")
_CONTINUATION = re.compile(rf"(?P<indent>[ \t]{{1,80}}){_ANOTHER}{_ASSIGNMENT}(?=\S)")
_ALONE = re.compile(rf"{_ANOTHER}(?=\S+[ \t\r]{{0,80}}(?:\n|$))")


@dataclass(frozen=True, slots=True)
class _Place:
    """The word that a name is part of: what quotes it, where in a line or in `{a: b}` it stands."""

    quote: str
    indent: int
    is_option: bool
    is_element: bool
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
            quote=escaped + quote,
            indent=len(line[2]) - len(line[2].lstrip(" \t")) if whole else 0,
            is_option=text.startswith("-", begin),
            is_element=_ELEMENT_NAME.search(text, least, name.start()) is not None,
            is_in_braces=before.rstrip()[-1:] in ("{", ","),
            is_first=bool(whole) and line[2].strip(" \t") in ("", "-", quote),
        )


def is_secret_name(name: str) -> bool:
    """Whether a key is called a secret."""
    return any(found.end() == len(name) for found in _NAME.finditer(name.translate(_LOWER)))


def cut_named_values(text: str) -> str:
    return cut_spans(text, _NAME.finditer(text.translate(_LOWER)), lambda name: _value_of(text, name))


def _value_of(text: str, name: re.Match[str]) -> tuple[int, int] | None:
    """Where the value of a name is; None where nothing follows that could be one."""
    place = _Place.of(text, name)
    sign = _SIGN.match(text, name.end())
    if sign is None:
        return _after_space(text, name.end(), place)
    if sign["sign"] in (">", "&gt;", "\\u003e", "\\u003E"):
        return _content(text, sign.end()) if place.is_element and sign.start("sign") == name.end() else None
    if sign["sign"].startswith("%"):
        return span_of_value(text, sign.end(), _URL_ENCODED)
    line_end = LINE_END.match(text, sign.end())
    if line_end is not None:
        if sign["sign"] == ":":
            return span_on_next_lines(text, line_end.end(), is_block=bool(line_end["bar"]))
        return _continuation(text, line_end.end(), place.indent)
    if place.quote and sign["quote"] is None:
        return _until_quote(text, place.quote, sign.end())
    if place.is_in_braces and sign[0] == ": ":
        return span_of_value(text, sign.end(), _REST_OF_ENTRY)
    if place.is_first and sign["quote"] is None:
        return span_of_value(text, sign.end(), _REST_OF_LINE if sign[0][-1] in " \t" else _LONG_WORD)
    return span_of_value(text, sign.end(), WORD)


def _after_space(text: str, at: int, place: _Place) -> tuple[int, int] | None:
    if place.is_option:
        word = NEXT_WORD.match(text, at)
        return span_of_value(text, word.end(), WORD) if word else None
    tag_end = _ATTRIBUTES.match(text, at) if place.is_element else None
    return _content(text, tag_end.end()) if tag_end else None


def _content(text: str, at: int) -> tuple[int, int] | None:
    """Of an XML element, without the space around it."""
    found = _CONTENT.match(text, at)
    return (found.start(1), found.start(1) + len(found[1].rstrip())) if found else None


def span_of_value(text: str, at: int, bare: re.Pattern[str] = WORD, end: int = sys.maxsize) -> tuple[int, int] | None:
    """Between quotes, or what `bare` matches; before `end`."""
    for pattern in (_ESCAPED, _DOUBLE, _SINGLE, bare):
        if (found := pattern.match(text, at, end)) is not None:
            return found.span(1)
    return None


def _until_quote(text: str, quote: str, at: int) -> tuple[int, int]:
    """What is left of a quoted text that holds name and value: `"PGPASSWORD=two words"`."""
    rest = {'"': r'[^"\\\n]*(?:\\.[^"\\\n]*)*', "'": r"[^'\n]*", '\\"': r'[^"\\\n]*(?:(?:\\\\\\"|\\(?!"))[^"\\\n]*)*'}
    found = re.compile(rest.get(quote, r"[^'\"\n]*")).match(text, at)
    return at, found.end() if found else at


def _continuation(text: str, at: int, indent: int) -> tuple[int, int] | None:
    """A line that is indented more than the one before."""
    found = _CONTINUATION.match(text, at)
    is_further = found is not None and len(found["indent"]) > indent
    return span_of_value(text, found.end(), _REST_OF_LINE) if found and is_further else None


def span_on_next_lines(text: str, at: int, *, is_block: bool, end: int = sys.maxsize) -> tuple[int, int] | None:
    """Of YAML, from a line's begin on and before `end`; a block is what `|` or `>` announces."""
    if is_block:
        block = _BLOCK.match(text, at, end)
        return block.span(2) if block else None
    if (items := _ITEMS.match(text, at, end)) is not None:
        return items.start(1), items.end(1) - items[1].endswith("\n")
    if (indent := _INDENTED.match(text, at, end)) is not None:
        return span_of_value(text, indent.end(), _REST_OF_LINE, end)
    alone = _ALONE.match(text, at, end)
    return span_of_value(text, alone.end(), _LONG_WORD, end) if alone else None
