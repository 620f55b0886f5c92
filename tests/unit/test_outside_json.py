"""JSON from outside: values by type, one error for all that is odd, and bounds that hold before memory is taken."""

from __future__ import annotations

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.errors import NodeError
from iecpod.outside_json import Bounds, Json, parse_json


def refuse(why: str) -> NodeError:
    return NodeError("iec01", why)


def refusal(content: bytes | str, bounds: Bounds | None = None) -> str:
    with pytest.raises(NodeError) as caught:
        parse_json(content, refuse, bounds or Bounds())
    return caught.value.cause


POD = parse_json(
    b'{"metadata": {"name": "x", "labels": null}, "n": 3, "ok": true, "items": [{"a": "1"}, 2], "none": null}', refuse
)


def test_values_by_type() -> None:
    assert POD.at("metadata").text("name") == "x"
    assert POD.integer("n") == 3 and POD.flag("ok") is True
    assert [entry.value for entry in POD.entries("items")] == [{"a": "1"}, 2]
    assert POD.entries("items")[0].members()["a"].as_text() == "1"
    assert list(POD.members()) == ["metadata", "n", "ok", "items"]


def test_what_is_missing_or_null_has_its_default() -> None:
    assert POD.text("gone", "d") == POD.text("none", "d") == "d"
    assert POD.integer("gone", 7) == 7 and POD.flag("gone", False) is False
    assert POD.entries("gone") == POD.entries("none") == ()
    assert POD.get("gone") is POD.get("none") is None


@pytest.mark.parametrize(
    ("ask", "shown"),
    [
        (lambda: POD.at("gone"), "iec01: `gone` is missing"),
        (lambda: POD.at("metadata").text("labels"), "iec01: metadata: `labels` is missing"),
        (lambda: POD.text("n"), "iec01: n: a text is expected, not an integer"),
        (lambda: POD.text("n", ""), "iec01: n: a text is expected, not an integer"),
        (lambda: POD.integer("ok"), "iec01: ok: an integer is expected, not true or false"),
        (lambda: POD.flag("n"), "iec01: n: true or false is expected, not an integer"),
        (lambda: POD.entries("metadata"), "iec01: metadata: a list is expected, not an object"),
        (lambda: POD.entries("items")[1].text("a"), "iec01: items[1]: an object is expected, not an integer"),
        (lambda: POD.entries("items")[0].integer("a"), "iec01: items[0].a: an integer is expected, not a text"),
        (lambda: parse_json("[]", refuse).get("a"), "iec01: an object is expected, not a list"),
        (lambda: parse_json("null", refuse).members(), "iec01: an object is expected, not null"),
        (lambda: parse_json("1.5", refuse).as_entries(), "iec01: a list is expected, not a number"),
    ],
)
def test_another_form_is_the_callers_error_with_its_place(ask: object, shown: str) -> None:
    with pytest.raises(NodeError) as caught:
        ask()  # type: ignore[operator]
    assert caught.value.cause == shown


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "not JSON: Expecting value"),
        (b"<html>", "not JSON: Expecting value"),
        (b'{"a": 1', "not JSON: Expecting ',' delimiter"),
        (b'"\xff"', "not JSON: 'utf-8' codec can't decode"),
        (b"\xff\xfe[\0]\0", "not JSON: 'utf-8' codec can't decode"),
        (b'{"a": 1, "b": {"a": 1, "a": 2}}', "an object has a key twice"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'["\\ud800"]', "not JSON: 'utf-8' codec can't encode character"),
        (b'{"\\uDCFF": 1}', "not JSON: 'utf-8' codec can't encode character"),
        (b"9" * 1_000_000, "a number of 1000000 digits"),
        (b"[" * 1_000 + b"]" * 1_000, "nested deeper than 64 levels"),
        (b"[" * 200_000, "nested deeper than 64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested deeper than 64 levels"),
        (b"[" + b"[]," * 500_000 + b"[]]", "more than 500000 values"),
        (b" " * (4 * 1024 * 1024) + b"1", "longer than 4194304 bytes"),
    ],
)
def test_what_is_no_json_or_beyond_its_bounds(content: bytes, shown: str) -> None:
    assert refusal(content).startswith(f"iec01: {shown}")


def test_bounds_hold_exactly() -> None:
    bounds = Bounds(size_bytes=9, depth=2, values=5)
    assert parse_json("[[1,2,3]]", refuse, bounds).value == [[1, 2, 3]]
    assert "values" in refusal("[1,2,3,4]", Bounds(values=4))
    assert parse_json("[[],{}]", refuse, bounds).value == [[], {}]
    assert "deeper" in refusal("[[[]]]", bounds)
    assert "longer" in refusal("[[1,2,33]]", bounds)
    assert parse_json('"\\ud83d\\ude00"', refuse).as_text() == "\U0001f600"


def test_memory_is_bounded_whatever_is_in_it() -> None:
    worst = b"[" + b",".join([b"{}"] * 200_000) + b"]"
    tracemalloc.start()
    try:
        parse_json(worst, refuse)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # what json.dumps writes and reads again
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc\x00é", max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)  # machines are shared
@given(_VALUES, st.booleans())
def test_good_documents_are_what_json_makes_of_them(value: object, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode(), refuse).value == value


_GETTERS = (
    lambda found: found.at("a"),
    lambda found: found.text("a"),
    lambda found: found.text("a", "d"),
    lambda found: found.integer("a"),
    lambda found: found.flag("a"),
    lambda found: found.entries("a"),
    lambda found: found.members(),
    lambda found: found.as_entries(),
    Json.as_text,
    Json.as_integer,
    Json.as_flag,
)


@settings(deadline=None)  # machines are shared
@given(_VALUES, st.sampled_from(_GETTERS))
def test_no_question_raises_anything_else(value: object, ask: object) -> None:
    try:
        ask(parse_json(json.dumps(value), refuse))  # type: ignore[operator]
    except NodeError as error:
        assert "expected" in error.cause or "missing" in error.cause


@settings(deadline=None)  # machines are shared
@given(st.binary(max_size=60) | st.text('[]{}",:\\ud8\n0123eE+-.truefalsn', max_size=60))
def test_any_bytes_are_a_value_or_the_callers_error(content: bytes | str) -> None:
    with contextlib.suppress(NodeError):
        parse_json(content, refuse)
