"""Names and values that are values themselves: `{"name": "DB_PASSWORD", "value": "x"}`, as in environments of pods."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iecpod.descriptors.redaction import SHOWN
from iecpod.logs.scrub_named import LINE_END, WORD, is_secret_name, span_of_value, span_on_next_lines

_KEY = re.compile(
    r"(?:[Nn]ame|[Vv]alue|[Kk]ey|NAME|VALUE|KEY)(?P<quote>\\?[\"'])?[ \t]{0,8}[:=](?!=)[ \t]{0,80}", re.ASCII
)
#: `\\n` ends a line.
_IN_A_WORD = re.compile(r"[A-Za-z0-9_.-](?<!\\[nrt])\Z", re.ASCII)
_SECRET = re.compile(r"(?P<quote>\\?[\"'])?(?P<name>[\w.-]{1,80})(?P=quote)?", re.ASCII)

#: Between a name and its value: other entries, but no other object or item.
_MOST_BETWEEN, _MOST_LINES, _MOST_KEYS = 200, 4, 3
_ANOTHER_OBJECT = re.compile(r"[{}]|\n[ \t]{0,80}- |- [\"'\\]{0,2}\Z")
_REST_OF_LINE = re.compile(r"([^\s](?:[^\n]*\S)?)")
_REST_OF_ENTRY = re.compile(r"([^\s,}](?:[^\n,}]*[^\s,}])?)")
#: As Go prints a structure.
_GO = re.compile(r"([^\n]{0,400}?)(?=,ValueFrom:)")


def cut_paired_values(text: str) -> str:
    """What was cut is not looked at again, and what is between two keys a few times, so the work is linear."""
    keys = [key for key in _KEY.finditer(text) if not _IN_A_WORD.search(text, max(0, key.start() - 2), key.start())]
    pieces: list[str] = []
    cursor = 0
    for index, key in enumerate(keys):
        for start, end in _spans(text, keys, index) if key.start() >= cursor and not _is_value(key) else ():
            if cursor <= start < end:
                pieces += (text[cursor:start], text[start:end] if text.startswith(SHOWN, start) else SHOWN)
                cursor = end
                break
    return "".join([*pieces, text[cursor:]]) if pieces else text


def _spans(text: str, keys: Sequence[re.Match[str]], index: int) -> Iterator[tuple[int, int]]:
    """Where the value of the name `keys[index]` may be: behind it or before it."""
    name = keys[index]
    found = _SECRET.match(text, name.end())
    if found is None or not is_secret_name(found["name"]):
        return
    for key in _of_this_object(name, keys[index + 1 : index + 1 + _MOST_KEYS]):
        if _is_one_object(text, found.end(), key.start()):
            yield from filter(None, [_value_behind(text, key, has_line="\n" in text[found.end() : key.start()])])
    for key in _of_this_object(name, keys[max(0, index - _MOST_KEYS) : index][::-1]):
        yield from filter(None, [_value_before(text, key, name)])


def _of_this_object(name: re.Match[str], keys: Sequence[re.Match[str]]) -> Iterator[re.Match[str]]:
    """Those of values, as far as another object's name."""
    for key in keys:
        if key[0][:3] == name[0][:3]:
            return
        if _is_value(key):
            yield key


def _is_value(key: re.Match[str]) -> bool:
    return key[0][0] in "Vv"


def _value_behind(text: str, key: re.Match[str], *, has_line: bool) -> tuple[int, int] | None:
    if (line_end := LINE_END.match(text, key.end())) is not None:
        return span_on_next_lines(text, line_end.end(), is_block=bool(line_end["bar"]))
    if key[0] == "Value:" and (found := _GO.match(text, key.end())) is not None:
        return found.span(1)
    if has_line and not key["quote"]:
        return span_of_value(text, key.end(), _REST_OF_LINE)
    return span_of_value(text, key.end(), _REST_OF_ENTRY if key[0].endswith(": ") else WORD)


def _value_before(text: str, key: re.Match[str], name: re.Match[str]) -> tuple[int, int] | None:
    end = name.start()
    if (line_end := LINE_END.match(text, key.end(), end)) is not None:
        found = span_on_next_lines(text, line_end.end(), is_block=bool(line_end["bar"]), end=end)
    else:
        has_line = "\n" in text[key.end() : end]
        found = span_of_value(text, key.end(), _REST_OF_LINE if has_line else _REST_OF_ENTRY, end)
    return found if found is not None and _is_one_object(text, found[1], end) else None


def _is_one_object(text: str, begin: int, end: int) -> bool:
    between = text[begin:end] if end - begin <= _MOST_BETWEEN else None
    return (
        between is not None
        and between.count("\n") <= _MOST_LINES
        and _ANOTHER_OBJECT.search(between) is None
        and any(separator in between for separator in ", \t\n;")
    )
