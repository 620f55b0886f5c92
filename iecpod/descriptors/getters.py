"""Typed access to a document that its schema has accepted; a value that is still encrypted is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iecpod.descriptors.encrypted import is_encrypted


def get_text(data: Mapping[str, object], key: str, default: str = "") -> str:
    value = data.get(key)
    return value if isinstance(value, str) and not is_encrypted(value) else default


def get_scalar(data: Mapping[str, object], key: str) -> object:
    """A value of any kind; None where there is none."""
    value = data.get(key)
    return None if is_encrypted(value) else value


def get_integer(data: Mapping[str, object], key: str, default: int = 0) -> int:
    value = data.get(key)
    return value if isinstance(value, int) else default


def get_mapping(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    """Empty where there is none."""
    value: Any = data.get(key)
    return value if isinstance(value, dict) else {}


def get_mappings(data: Mapping[str, object], key: str) -> tuple[Mapping[str, object], ...]:
    value: Any = data.get(key)
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def get_texts(data: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of texts, or one text; what is no text becomes empty, so that indexes stay true."""
    value: Any = data.get(key)
    items = value if isinstance(value, list) else [value] if value is not None else []
    return tuple(item if isinstance(item, str) and not is_encrypted(item) else "" for item in items)
