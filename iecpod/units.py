"""Sizes and speeds as descriptors write them, times as people type and read them: one parser per unit."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal

_SIZE = re.compile(r"([0-9]{1,15})(\.[0-9]{1,9})?([KMGT])(?:i?B)?\Z")
_SIZE_FACTORS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SPEED = re.compile(r"([0-9]{1,6})(\.[0-9]{1,3})?([mgt])b\Z", re.IGNORECASE)
_SPEED_FACTORS = {"m": 1, "g": 1000, "t": 1_000_000}
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])\Z")
_DURATION_FACTORS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UTC = "%Y-%m-%dT%H:%M:%SZ"
#: No disk or memory is larger: 1 EiB, which libvirt and qcow2 still hold.
_MAX_SIZE_BYTES = 1 << 60


def parse_size_bytes(text: str) -> int:
    """`100G`, `2560M`, `1.5T`, `96GB` in bytes. Units are powers of 1024, as QEMU reads them, with or without B or iB.

    Raises `ValueError` with a sentence for people.
    """
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"{shorten(text)} is not a size: a number with the unit K, M, G or T, such as 100G")
    whole, fraction, unit = match.groups()
    size = int(Decimal(whole + (fraction or "")) * _SIZE_FACTORS[unit])
    if size == 0:
        raise ValueError(f"{shorten(text)}: size must be greater than 0")
    if size > _MAX_SIZE_BYTES:
        raise ValueError(f"{shorten(text)} is more than any machine holds (1 EiB)")
    return size


def parse_speed_mbps(text: str) -> int:
    """`1gb`, `10gb`, `100mb` in Mb/s (powers of 1000). Raises `ValueError` with a sentence for people."""
    match = _SPEED.match(text)
    if match is None:
        raise ValueError(f"{shorten(text)} is not a speed: a number with the unit mb, gb or tb, such as 10gb")
    whole, fraction, unit = match.groups()
    speed = int(Decimal(whole + (fraction or "")) * _SPEED_FACTORS[unit.lower()])
    if speed == 0:
        raise ValueError(f"{shorten(text)}: speed must be greater than 0")
    return speed


def parse_duration_seconds(text: str) -> int:
    """`90m`, `12h`, `2d` in seconds; also `s` and `w`. Raises `ValueError` with a sentence for people."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{shorten(text)} is not a duration: a number with the unit s, m, h, d or w, such as 12h")
    return int(match[1]) * _DURATION_FACTORS[match[2]]


def format_age(seconds: float) -> str:
    """In the largest unit that it fills, as people say it: `45s`, `12m`, `3h`, `2d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


def format_utc(unix_time: float) -> str:
    """As RFC 3339 has it, in whole seconds: `2026-11-27T09:12:44Z`."""
    return datetime.datetime.fromtimestamp(unix_time, datetime.timezone.utc).strftime(_UTC)


def parse_utc(text: str) -> float:
    """Unix time of what `format_utc` writes, and Kubernetes. Raises `ValueError`."""
    return datetime.datetime.strptime(text, _UTC).replace(tzinfo=datetime.timezone.utc).timestamp()


def format_size(size_bytes: int) -> str:
    """In the largest unit that it fills: `1.6 GiB`, `12.0 MiB`, `4.0 KiB`."""
    for unit, length in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if size_bytes >= length:
            return f"{size_bytes / length:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} KiB"


def shorten(text: str, limit: int = 60) -> str:
    """Text in quotes for a message, cut where it is long."""
    return repr(text if len(text) <= limit else text[:limit] + "…")
