"""Plain (unquoted) YAML scalars as Python values: YAML 1.1 as descriptors rely on it, without its surprises."""

from __future__ import annotations

import re

_BOOLEANS = {
    **dict.fromkeys(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGERS = (
    (re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z"), 10),
    (re.compile(r"[-+]?0o?_*[0-7][0-7_]*\Z"), 8),
    (re.compile(r"[-+]?0x_*[0-9a-fA-F][0-9a-fA-F_]*\Z"), 16),
    (re.compile(r"[-+]?0b_*[01][01_]*\Z"), 2),
)
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
#: Text that some YAML reader (1.1, 1.2, Go's) takes for a number or a boolean, though `parse_plain_scalar` does not.
_AMBIGUOUS = re.compile(r"(?:[yYnN]|[-+]?[0-9._][0-9a-fA-FxXoObBeE+_.:-]*|[-+]?\.(?:inf|nan))\Z", re.IGNORECASE)
#: What YAML 1.1 takes for a number of base 60, as PyYAML does with some MACs.
_BASE_60 = re.compile(r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_OCTAL = re.compile(r"[-+]?0_*[0-7][0-7_]*\Z")
#: No number of a descriptor is longer; a longer one stays text, so that reading it costs nothing.
_MAX_NUMBER_CHARACTERS = 64


def parse_plain_scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar.

    Unlike YAML 1.1, `52:54:00:12:34:56` is not a base-60 integer and `2021-01-01` is no date: both stay text.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "+-.0123456789" or len(text) > _MAX_NUMBER_CHARACTERS:
        return text
    for pattern, base in _INTEGERS:
        if pattern.match(text):
            return parse_integer(text, base)
    if _FLOAT.match(text) or _SPECIAL_FLOAT.match(text):
        return parse_float(text)
    return text


def explain_misreading(text: str) -> str:
    """Why a person may mean something else with an unquoted scalar than a reader makes of it; empty where not."""
    if len(text) > _MAX_NUMBER_CHARACTERS or text[:1] not in tuple("+-0123456789"):
        return ""
    if _OCTAL.match(text):
        return f"{text} is the number {parse_plain_scalar(text)}: with a 0 in front it counts as octal"
    return f"{text} without quotes is a number of base 60 to other YAML readers" if _BASE_60.match(text) else ""


def parse_integer(text: str, base: int) -> int:
    digits = text.replace("_", "")
    if base == 8 and "o" not in digits:
        digits = digits.replace("0", "0o", 1)
    return int(digits, base)


def parse_float(text: str) -> float:
    text = text.replace("_", "").lower()
    sign, number = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.lstrip("+"))
    return sign * float({".inf": "inf", ".nan": "nan"}.get(number, number))


def is_ambiguous(text: str) -> bool:
    """Whether text must be quoted when written, because some reader of YAML would not read it as text."""
    return text in _BOOLEANS or text in _NULLS or _AMBIGUOUS.match(text) is not None
