"""JSON from outside: bounded before it is parsed, and read by type.

`parse_json` is given what makes the error (`refuse`); every value that is not of the expected form raises that one
error with the path of the value, so callers handle no KeyError, TypeError, AttributeError or RecursionError.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

T = TypeVar("T")

#: Makes the error that is raised for a sentence such as `items[3].spec: an object is expected, not a list`.
Refuse = Callable[[str], Exception]

_MIB = 1024 * 1024
#: An integer of JSON with more digits would take quadratic time, and is no number that anybody means (2^64 has 20).
_MOST_DIGITS = 20
_SHOWN_CHARACTERS = 80
_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "an integer", float: "a number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`values` bounds what a text can grow to in memory: an empty list is 3 bytes of JSON and 60 of Python."""

    size_bytes: int = 4 * _MIB
    depth: int = 64
    values: int = 500_000


class _Odd(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class Json:
    """One value and its path in the document; `value` is what `json` makes of it."""

    value: object
    path: str = ""
    refuse: Refuse = field(default=ValueError, repr=False, compare=False)

    def get(self, key: str) -> Json | None:
        """What an object has under `key`; None where that is missing or null."""
        inner = self._of(dict).get(key)
        return None if inner is None else Json(inner, _joined(self.path, key), self.refuse)

    def at(self, key: str) -> Json:
        """As `get`, for what must be there."""
        found = self.get(key)
        return self._fail(f"`{key}` is missing") if found is None else found

    def text(self, key: str, default: str | None = None) -> str:
        """The text under `key`; `default` where that is missing or null. So are `integer` and `flag`."""
        return self._value(key, default, Json.as_text)

    def integer(self, key: str, default: int | None = None) -> int:
        return self._value(key, default, Json.as_integer)

    def flag(self, key: str, default: bool | None = None) -> bool:
        return self._value(key, default, Json.as_flag)

    def entries(self, key: str) -> tuple[Json, ...]:
        """Of the list under `key`; none where it is missing or null, as Go writes an empty list."""
        found = self.get(key)
        return () if found is None else found.as_entries()

    def members(self) -> dict[str, Json]:
        """The values of an object that are not null, by their keys."""
        inner = self._of(dict)
        return {
            key: Json(value, _joined(self.path, key), self.refuse) for key, value in inner.items() if value is not None
        }

    def as_entries(self) -> tuple[Json, ...]:
        inner = self._of(list)
        return tuple(Json(value, f"{self.path}[{index}]", self.refuse) for index, value in enumerate(inner))

    def as_text(self) -> str:
        return self._of(str)

    def as_integer(self) -> int:
        return self._of(int)

    def as_flag(self) -> bool:
        return self._of(bool)

    def _value(self, key: str, default: T | None, read: Callable[[Json], T]) -> T:
        found = self.get(key) if default is not None else self.at(key)
        return read(found) if found is not None else default  # type: ignore[return-value]  # `at` is never None

    def _of(self, kind: type[T]) -> T:
        if type(self.value) is not kind:  # True is an int to isinstance
            self._fail(f"{_WORDS[kind]} is expected, not {_WORDS.get(type(self.value), 'null')}")
        return self.value

    def _fail(self, what: str) -> NoReturn:
        raise self.refuse(f"{self.path}: {what}" if self.path else what)


def parse_json(content: bytes | str, refuse: Refuse, bounds: Bounds = Bounds()) -> Json:
    """The document as a value whose getters raise `refuse(...)`; so does what is no JSON or is beyond `bounds`.

    RFC 8259 in UTF-8, without duplicate keys, NaN and surrogates that stand alone: readers differ about them.
    """
    try:
        return Json(_parsed(content, bounds), "", refuse)
    except _Odd as odd:
        raise refuse(str(odd)) from None
    except RecursionError:
        raise refuse(_too_deep(bounds)) from None
    except ValueError as error:
        raise refuse(f"not JSON: {error}") from None


def _parsed(content: bytes | str, bounds: Bounds) -> object:
    if len(content) > bounds.size_bytes:
        raise _Odd(f"longer than {bounds.size_bytes} bytes")
    text = content.decode() if isinstance(content, bytes) else content
    # Commas and brackets inside of texts count, too: an upper bound that is found without parsing.
    if sum(map(text.count, ",[{")) >= bounds.values:
        raise _Odd(f"more than {bounds.values} values")
    value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer, parse_constant=_constant)
    _check_depth(value, bounds)
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Odd("an object has a key twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise _Odd(f"a number of {len(digits)} digits")
    return int(digits)


def _constant(word: str) -> NoReturn:
    raise _Odd(f"{word} is not JSON")


def _check_depth(value: object, bounds: Bounds) -> None:
    level: list[object] = [value]
    for _ in range(bounds.depth + 1):
        containers = [outer for outer in level if isinstance(outer, (dict, list))]
        if not containers:
            return
        level = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
    raise _Odd(_too_deep(bounds))


def _too_deep(bounds: Bounds) -> str:
    return f"nested deeper than {bounds.depth} levels"


def _joined(path: str, key: str) -> str:
    shown = key if len(key) <= _SHOWN_CHARACTERS else key[:_SHOWN_CHARACTERS] + "…"
    return f"{path}.{shown}" if path else shown
