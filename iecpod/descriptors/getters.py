"""Typed access to a document that its schema has accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get_text(data: Mapping[str, object], key: str, default: str = "") -> str:
    value = data.get(key)
    return value if isinstance(value, str) else default


def get_integer(data: Mapping[str, object], key: str, default: int = 0) -> int:
    """A whole number; JSON Schema lets `2.0` be one."""
    value = data.get(key)
    return int(value) if isinstance(value, (int, float)) else default


def get_mapping(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Empty where there is none."""
    value: Any = data.get(key)
    return value if isinstance(value, dict) else {}


def get_mappings(data: Mapping[str, object], key: str) -> tuple[Mapping[str, object], ...]:
    value: Any = data.get(key)
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def get_texts(data: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of texts, or one text; `~` in a list becomes empty text so that indexes stay true."""
    value: Any = data.get(key)
    if isinstance(value, str):
        return (value,)
    return tuple(item if isinstance(item, str) else "" for item in value) if isinstance(value, list) else ()
