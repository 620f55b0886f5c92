"""Secrets that are known as texts, found in whichever way programs write a text: escaped, URL-encoded, in base64."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import string
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from iecpod.descriptors.redaction import SHOWN

#: Shorter ones are words of everyday, as `admin`: they are cut only where they are called a password.
LEAST_LENGTH = 6
#: What is so long is no word.
_KEY_LENGTH = 32
_PASSWORD_LENGTH = 8

#: So many characters of known texts are distinguished one by one; no text is shorter.
_BRANCHED = 4

#: What is in base64 with one of these in it is a private key (RFC 7468).
_KEY_MARKER = "PRIVATE KEY-----"

#: Before a word is no part of one, unless it is the end of `%3A`, `\n` or `\u003d`; the dot is the first character.
_BEFORE_WORD = r"(?:(?<![^\W_](?s:.))|(?<=%[0-9A-Fa-f]{2}(?s:.))|(?<=\\[nrtbf](?s:.))|(?<=\\u[0-9A-Fa-f]{4}(?s:.)))"
_AFTER_WORD = r"(?![^\W_])"

_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
#: Lines of nothing but base64, as `base64` and MIME wrap it.
_WRAPPED = re.compile(
    r"^[ \t]{0,40}[A-Za-z0-9+/_-]{40,}\r?\n(?:[ \t]{0,40}[A-Za-z0-9+/_-]{40,}\r?\n)*[ \t]{0,40}[A-Za-z0-9+/_-]+={0,2}",
    re.MULTILINE,
)


class KnownSecrets:
    """Texts that are cut wherever they stand; those that may be words, only as whole words."""

    def __init__(self, texts: Iterable[str]) -> None:
        known = {variant for text in texts if len(text) >= LEAST_LENGTH for variant in _variants(text)}
        words = _any_of((form for text in known if _may_be_a_word(text) for form in _written(text)), _BEFORE_WORD)
        others = _any_of(form for text in known if not _may_be_a_word(text) for form in _written(text))
        # What stands for a secret may have one in it, such as the word `secret`.
        self._known = re.compile(rf"{re.escape(SHOWN)}|{others}|(?:{words}){_AFTER_WORD}")
        self._in_base64 = re.compile(_any_of(core for text in (*known, _KEY_MARKER) for core in _base64_cores(text)))

    def cut(self, text: str) -> str:
        text = _WRAPPED.sub(self._cut_wrapped, self._known.sub(SHOWN, text))
        return _BASE64_RUN.sub(self._cut_run, text) if self._in_base64.search(text) else text

    def _cut_run(self, run: re.Match[str]) -> str:
        return SHOWN if self._in_base64.search(run[0]) else run[0]

    def _cut_wrapped(self, lines: re.Match[str]) -> str:
        return SHOWN if self._in_base64.search("".join(lines[0].split())) else lines[0]


def _may_be_a_word(text: str) -> bool:
    """Whether it could be part of other words by chance: short, or letters of one case only."""
    if len(text) >= _KEY_LENGTH:
        return False
    kinds = (str.islower, str.isupper, str.isdigit, lambda character: not character.isalnum())
    return len(text) < _PASSWORD_LENGTH or sum(any(map(is_of, text)) for is_of in kinds) < 2


def _variants(text: str) -> Iterator[str]:
    """MACs and UUIDs are written in either case, and MACs with colons."""
    yield text
    if all(character in string.hexdigits + ":-" for character in text):
        yield from (text.lower(), text.upper(), text.replace("-", ":").lower(), text.replace("-", ":").upper())


def _written(text: str) -> set[str]:
    """A text as it is, in JSON (once and twice), Python, YAML, XML, shell and URLs."""
    in_json = [json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True)]
    in_urls = [quote(text, safe=safe, errors="replace") for safe in ("", "/", "/:@")]
    in_urls.append(quote_plus(text, errors="replace"))
    lower = [re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), written) for written in in_urls]
    twice = [json.dumps(written)[1:-1] for written in in_json]
    others = [repr(text)[1:-1], ascii(text)[1:-1], text.replace("'", "''"), shlex.quote(text).strip("'")]
    in_xml = [html.escape(text), html.escape(text, quote=False), text.replace("/", "\\/")]
    return {text, *in_json, *twice, *in_urls, *lower, *others, *in_xml}


def _base64_cores(text: str) -> Iterator[str]:
    """Of each alignment, the characters of base64 that are a text's own, whatever stands before and behind it."""
    content = text.encode(errors="surrogateescape")
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + content + bytes(2)).decode()
        first, last = -(-offset * 8 // 6), (offset + len(content)) * 8 // 6
        core = encoded[first:last]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))


def _any_of(words: Iterable[str], behind_first: str = "") -> str:
    """A pattern for all of them, the longest first. It branches by character, so the work at a place is bounded."""
    return _branches(sorted(set(words), key=lambda word: (-len(word), word)), 0, behind_first) or r"(?!)"


def _branches(words: list[str], at: int, behind: str = "") -> str:
    """The words from their character `at` on, which all have; equal so far."""
    groups = defaultdict[str, list[str]](list)
    for word in words:
        groups[word[at]].append(word)
    choices = []
    for character, group in groups.items():
        if at + 1 < _BRANCHED and len(group) > 1:
            rest = _branches(group, at + 1)
        else:
            rest = "|".join(re.escape(word[at + 1 :]) for word in group)
        choices.append(f"{re.escape(character)}{behind}(?:{rest})")
    return "|".join(choices)
