"""Sizes, speeds and durations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.units import format_age, format_size, parse_duration_seconds, parse_size_bytes, parse_speed_mbps

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
        ("0G", "'0G': size must be greater than 0"),
        ("0.0000001K", "'0.0000001K': size must be greater than 0"),
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
        ("0gb", "'0gb': speed must be greater than 0"),
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


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("45s", 45), ("90m", 5400), ("12h", 43_200), ("2d", 172_800), ("3w", 1_814_400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "d", "-1d", "1.5h", "2 d", "2d\n", "2D", "1h30m", "1234567s", "٣d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration_seconds(text)
    assert str(caught.value).endswith(" is not a duration: a number with the unit s, m, h, d or w, such as 12h")


@given(st.integers(0, 999_999), st.sampled_from("smhdw"))
def test_a_larger_unit_is_longer(number: int, unit: str) -> None:
    assert parse_duration_seconds(f"{number}{unit}") >= parse_duration_seconds(f"{number}s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (86_399, "23h"), (86_400, "1d"), (3e6, "34d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert format_age(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0.0 KiB"), (4096, "4.0 KiB"), (1 << 20, "1.0 MiB"), (1_653_153_792, "1.5 GiB"), (5 << 40, "5120.0 GiB")],
)
def test_sizes_as_people_say_them(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text
