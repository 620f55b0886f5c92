"""Values of the headers of HTTP that hold credentials: `Authorization: Basic x`, `"cookie":["a=b"]`."""

from __future__ import annotations

import re

from iecpod.descriptors.redaction import SHOWN
from iecpod.logs.cut_spans import cut_spans

_NAME = re.compile(
    r"(?:[Aa](?i:uthorization)|[Cc](?i:ookie)(?=\\?[\"']?:))(?P<closing>\\?[\"'])?"
    r"[ \t]{0,8}(?:[:=]|%3[AaDd])(?:[ \t+]|%20){0,8}\[?(?P<opening>\\?[\"'])?"
)
#: `X-Forwarded-`, and what quotes the whole header.
_BEFORE = re.compile(r"(\\?[\"'])[\w-]{0,40}\Z", re.ASCII)
_LONGEST_BEFORE = 42

#: What ends a header: a line's end, as it is and escaped, and the quote that opened it.
_CONTENTS = {
    "": re.compile(r"(?:[^\n\\]|\\(?![rn]))*"),
    '"': re.compile(r'(?:[^"\\\n]|\\(?s:.))*'),
    "'": re.compile(r"[^'\n]*"),
    '\\"': re.compile(r'(?:[^"\\\n]|\\\\\\"|\\(?!"))*'),
    "\\'": re.compile(r"[^'\\\n]*"),
}

#: RFC 9110, section 11.4: a scheme, and one word or a list of `name=value`.
_SPACE = r"(?:[ \t+]|%20){1,8}"
_KNOWN = re.compile(rf"(?i:bearer|basic|negotiate|ntlm|token|apikey){_SPACE}")
_LIST = re.compile(
    r"(?:(?i:digest|hmac|aws4-hmac-sha256)"
    rf"|[A-Za-z][\w-]{{0,40}}(?={_SPACE}[\w-]{{1,40}}=\\*[\"']?[^=\s,;\"'\\])){_SPACE}"
)
_CREDENTIALS = re.compile(r"[^\s\"',;\\]+")
#: What names no scheme, or one that is not known here.
_OTHER = re.compile(
    rf"(?!\S{{1,40}}[ \t]{{1,8}}{re.escape(SHOWN)})"
    r"[^\s\"',;{}\[\]\\]+(?:[ \t]{1,8}(?=\S*[0-9=:/+])[^\s\"',;{}\[\]\\]{8,}(?=[ \t\r]{0,8}(?:[\n\\\"']|$)))?"
)


def cut_headers(text: str) -> str:
    """What is looked at as a whole is cut."""
    return cut_spans(text, _NAME.finditer(text), lambda name: _credentials_of(text, name))


def _credentials_of(text: str, name: re.Match[str]) -> tuple[int, int] | None:
    start, found = name.end(), None
    is_whole = name[0][0] in "Cc"
    if not is_whole:
        scheme = _LIST.match(text, start) or _KNOWN.match(text, start)
        is_whole = scheme is not None and scheme.re is _LIST
        start = scheme.end() if scheme else start
        found = None if is_whole else (_CREDENTIALS if scheme else _OTHER).match(text, start)
    if text.startswith(SHOWN, start) or not (is_whole or found):
        return None
    if found is not None and not name["opening"]:
        return found.span()
    content = _CONTENTS[_quote_of(text, name)].match(text, start)
    return (start, start + len(content[0].rstrip())) if content else None


def _quote_of(text: str, name: re.Match[str]) -> str:
    """What quotes the value, or the header as a whole."""
    if name["opening"] or name["closing"]:
        return name["opening"] or ""
    before = _BEFORE.search(text, max(0, name.start() - _LONGEST_BEFORE), name.start())
    return before[1] if before else ""
