"""What a schema's verdict means for the person who wrote the file: message and remedy for each keyword."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from iecpod.descriptors.formats import check_format
from iecpod.units import shorten

_IDF_KEYS = ("installer", "net_config", "fuel", "compass", "daisy", "osa", "kubespray")
#: Of top-level keys of the two descriptors that stand in another place: where they belong.
_MISPLACED = {
    "pdf": {
        **dict.fromkeys(_IDF_KEYS, "it belongs in the IDF, under `idf`"),
        **dict.fromkeys(("idf", "xci"), "it belongs in the IDF"),
    },
    "idf": {
        **dict.fromkeys(("version", *_IDF_KEYS), "it belongs under `idf`"),
        **dict.fromkeys(("details", "jumphost", "nodes"), "it belongs in the PDF"),
    },
}
#: A secret is never shown, not even a wrong one.
_SECRET = "the secret"
_TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing (~)",
}


def explain(keyword: str, wanted: Any, value: object, schema: Mapping[str, Any]) -> tuple[str, str]:
    """Message and remedy for a value that `keyword: wanted` of `schema` refuses."""
    shown = _SECRET if schema.get("writeOnly") else describe(value)
    remedy = str(schema.get("description", ""))
    if keyword == "type":
        return f"{shown} stands where {_join_types(wanted)} must stand", remedy
    if keyword in ("enum", "const"):
        return _explain_choice(shown, value, wanted if keyword == "enum" else [wanted], remedy)
    if keyword == "format":
        return check_format(wanted, value) or f"{shown} has not the format {wanted}", remedy
    if keyword == "pattern":
        title = str(schema.get("title", "value")).lower()
        return f"{shown} is not a valid {title}", remedy or f"it must match {wanted}"
    return _explain_bound(keyword, wanted, shown), remedy


def _explain_bound(keyword: str, wanted: Any, shown: str) -> str:
    bounds = {
        "minimum": f"{shown} is less than {wanted}",
        "maximum": f"{shown} is more than {wanted}",
        "minItems": f"the list holds fewer than {wanted}",
        "minLength": "the text is empty",  # no schema asks for more than one character
        "maxLength": f"the text is longer than {wanted} characters",
        "minProperties": f"the mapping holds fewer than {wanted} keys",
        "uniqueItems": "the list holds a value twice",
    }
    return bounds.get(keyword, f"{shown} is not allowed here")


def _explain_choice(shown: str, value: object, choices: Sequence[object], remedy: str) -> tuple[str, str]:
    if isinstance(value, str) and any(str(choice) == value for choice in choices):
        return f"{shown} is text and must be a number", "remove the quotes"
    names = ", ".join(describe(choice).strip("'") for choice in choices)
    guess = suggest(value, [choice for choice in choices if isinstance(choice, str)]) if isinstance(value, str) else ""
    return f"{shown} is not one of: {names}", guess or remedy


def explain_unknown_key(key: str, known: Sequence[str], top_level_of: str = "") -> tuple[str, str]:
    """`top_level_of` is the kind of document where the key stands at its top level."""
    guess = _MISPLACED.get(top_level_of, {}).get(key, "") or suggest(key, known)
    return f"the key {shorten(key)} is unknown here", guess or f"keys known here: {', '.join(known) or 'none'}"


def explain_missing_key(key: str, schema: Mapping[str, Any]) -> tuple[str, str]:
    """`schema` is that of the missing value, where it is known."""
    title, description = str(schema.get("title", "")), str(schema.get("description", ""))
    meaning = f" ({title[0].lower() + title[1:]})" if title and title.lower() != key.lower() else ""
    return f"the key {key!r}{meaning} is missing", f"add it: {description}" if description else "add it"


def suggest(name: str, known: Sequence[str]) -> str:
    """`did you mean …?`, or nothing where no known name is near."""
    if len(name) > 40:
        return ""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else ""


def describe(value: object) -> str:
    """A value as a person would write it, shortened; containers by their kind only."""
    if isinstance(value, str):
        return shorten(value)
    if value is None:
        return "nothing (~)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return shorten(str(value)).strip("'")
    return "a mapping" if isinstance(value, dict) else "a list"


def _join_types(wanted: str | Sequence[str]) -> str:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return " or ".join(_TYPE_WORDS.get(name, name) for name in names)
