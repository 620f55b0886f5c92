"""Digests of design values that stay the same from run to run and from host to host."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import ipaddress
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_TEXTS = (
    *(ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface),
    *(ipaddress.IPv6Address, ipaddress.IPv6Network, PurePath, datetime.date),
)


def value_digest(value: object) -> str:
    """sha256, in hex, of a value made of dataclasses, containers, enums, addresses and plain values.

    Raises `TypeError` for anything else: its text might differ from run to run.
    """
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, _TEXTS):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return sorted(([_plain(key), _plain(inner)] for key, inner in value.items()), key=json.dumps)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(inner) for inner in value), key=json.dumps)
    raise TypeError(f"{type(value).__name__} has no digest")
