"""Sizes and speeds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.units import parse_size_bytes, parse_speed_mbps

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100G", 100 * GIB),
        ("2560M", 2560 << 20),
        ("6G", 6 * GIB),
        ("2T", 2048 * GIB),
        ("1.5T", 1536 * GIB),
        ("0.5G", GIB // 2),
        ("96GB", 96 * GIB),
        ("8GiB", 8 * GIB),
        ("4K", 4096),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100", "'100' is not a size: a number with the unit K, M, G or T, such as 100G"),
        ("G", "'G' is not a size: a number with the unit K, M, G or T, such as 100G"),
        ("-1G", "'-1G' is not a size: a number with the unit K, M, G or T, such as 100G"),
        ("1 G", "'1 G' is not a size: a number with the unit K, M, G or T, such as 100G"),
        ("٣G", "'٣G' is not a size: a number with the unit K, M, G or T, such as 100G"),
        ("0G", "'0G' is a size of nothing"),
        ("0.0000001K", "'0.0000001K' is a size of nothing"),
        ("99999999T", "'99999999T' is more than any machine holds (1 EiB)"),
    ],
)
def test_bad_sizes(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_size_bytes(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "speed"), [("1gb", 1000), ("10gb", 10_000), ("2.5gb", 2500), ("100mb", 100), ("1tb", 1_000_000)]
)
def test_speeds(text: str, speed: int) -> None:
    assert parse_speed_mbps(text) == speed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "'10' is not a speed: a number with the unit mb, gb or tb, such as 10gb"),
        ("fast", "'fast' is not a speed: a number with the unit mb, gb or tb, such as 10gb"),
        ("0gb", "'0gb' is a speed of nothing"),
    ],
)
def test_bad_speeds(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_speed_mbps(text)
    assert str(caught.value) == message


@settings(deadline=None)  # machines are shared
@given(st.text() | st.text("0123456789.GMTKBib-+e", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_size_bytes, parse_speed_mbps):
        try:
            assert parse(text) > 0
        except ValueError as error:
            assert len(str(error)) < 200
