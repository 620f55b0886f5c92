"""YAML in and out: values, positions, refusals, bounds."""

from __future__ import annotations

import math
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.errors import DescriptorError, Problem
from iecpod.yaml.document import Document, dotted_path, dump_yaml, dump_yaml_all, load_yaml, load_yaml_all


def problems_of(text: str | bytes) -> list[Problem]:
    with pytest.raises(DescriptorError) as caught:
        load_yaml(text, "pod.yaml")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", 1.0),
        ("0.1", 0.1),
        ("24", 24),
        ("-1_000", -1000),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0x1F", 31),
        ("0b11", 3),
        ("08", "08"),
        ("~", None),
        ("", None),
        ("yes", True),
        ("off", False),
        ("native", "native"),
        ("1000-1999", "1000-1999"),
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("12:34:56:12:34:56", "12:34:56:12:34:56"),
        ("1:30", "1:30"),
        ("2021-01-01", "2021-01-01"),
        ("2021-01-01T10:00:00Z", "2021-01-01T10:00:00Z"),
        ("1e3", "1e3"),
        ("'24'", "24"),
        ('"~"', "~"),
        ("!!str 24", "24"),
        ("! 24", "24"),
        ("!!float 24", 24.0),
        ("=", "="),
        ("9" * 5000, "9" * 5000),
        ("ENC[PKCS7,abc/+=]", "ENC[PKCS7,abc/+=]"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    loaded = load_yaml(f"key: {text}\n", "").data
    assert loaded == {"key": value}
    assert isinstance(loaded, dict) and type(loaded["key"]) is type(value)


def test_special_floats() -> None:
    data = load_yaml("[.inf, -.inf, .nan]", "").data
    assert isinstance(data, list)
    assert data[0] == math.inf and data[1] == -math.inf and math.isnan(data[2])


def test_keys_are_text() -> None:
    assert load_yaml("1: a\non: b\n~: c\n? d\n: e\n", "").data == {"1": "a", "on": "b", "~": "c", "d": "e"}


def test_empty_file_holds_nothing() -> None:
    assert load_yaml("# nothing\n", "").data is None
    assert load_yaml_all("---\n---\na: 1\n---\n", "") == (load_yaml_all("---\n---\na: 1\n", "")[0],)


def test_anchors_and_merge_keys() -> None:
    text = "base: &base {a: 1, b: 2}\nother: &other {b: 3, c: 4}\none: {<<: *base, b: 5}\ntwo: {<<: [*base, *other]}\n"
    data = load_yaml(text, "").data
    assert isinstance(data, dict)
    assert data["one"] == {"a": 1, "b": 5}
    assert data["two"] == {"a": 1, "b": 2, "c": 4}


def test_merge_does_not_change_the_anchor() -> None:
    assert load_yaml("- &x {a: 1}\n- {<<: *x, a: 2}\n- *x\n", "").data == [{"a": 1}, {"a": 2}, {"a": 1}]


POSITIONS = """\
---
details:
  type: production
nodes:
  - name: node-1
    node: &node
      arch: x86_64
      <<: {cpus: 2}
  - name: node-2
    node: *node
  - {name: node-3, node: {arch: aarch64}}
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (2, 1)),
        (("details",), (2, 1)),
        (("details", "type"), (3, 9)),
        (("nodes", 0), (5, 5)),
        (("nodes", 0, "node"), (6, 11)),
        (("nodes", 0, "node", "arch"), (7, 13)),
        (("nodes", 0, "node", "cpus"), (8, 18)),
        (("nodes", 1, "node"), (10, 11)),
        (("nodes", 1, "node", "arch"), (7, 13)),
        (("nodes", 2, "node", "arch"), (11, 33)),
        (("nodes", 7), (4, 1)),
        (("nodes", "name"), (4, 1)),
        (("nodes", -1), (4, 1)),
        (("details", "type", "x", 3), (3, 9)),
    ],
)
def test_positions(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    assert load_yaml(POSITIONS, "").position(path) == place


def test_dotted_path() -> None:
    assert dotted_path(("nodes", 0, "interfaces", 2, "mac_address")) == "nodes[0].interfaces[2].mac_address"
    assert dotted_path((1, "a")) == "[1].a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            "pod.yaml:3:1: error: the key 'a' stands in this mapping a second time [yaml-duplicate-key]\n"
            "    -> keep one of the two: most YAML readers silently take the last",
        ),
        (
            "a:\n\tb: 1\n",
            "pod.yaml:2:1: error: a tab is used for indentation, which YAML does not allow [yaml-syntax]\n"
            "    -> indent with spaces",
        ),
        (
            "a: @home\n",
            "pod.yaml:1:4: error: a value cannot begin with '@' [yaml-syntax]\n    -> put the value in quotes",
        ),
        (
            "a: 1\nb: 'open\nc: 2\n",
            "pod.yaml:2:4: error: a quote is opened here and not closed [yaml-syntax]\n    -> add the closing quote",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "pod.yaml:1:4: error: a bracket is opened here and not closed [yaml-syntax]\n"
            "    -> add the closing bracket or a comma",
        ),
        (
            "a: 1\n  b: 2\n",
            "pod.yaml:2:4: error: a ':' stands where no new key can begin [yaml-syntax]\n    -> indent the line like "
            "its neighbours, quote a value that contains ': ', give the line above its ':'",
        ),
        (
            "a: 1\nb\nc: 2\n",
            "pod.yaml:2:1: error: this line has no ':' after its key [yaml-syntax]\n"
            "    -> write 'key: value', with a space after the colon",
        ),
        (
            "a: 'x' y\n",
            "pod.yaml:1:8: error: the indentation fits none of the lines above, or a quote or bracket before this "
            "place is wrong [yaml-syntax]\n    -> align the line with its neighbours; close every quote and bracket",
        ),
        (
            "- a\nb: 1\n",
            "pod.yaml:2:1: error: the indentation fits none of the lines above [yaml-syntax]\n"
            "    -> align the line with the '-' of its list, or with the keys of its mapping",
        ),
        (
            'a: "\\q"\n',
            "pod.yaml:1:5: error: a backslash in double quotes begins no known escape [yaml-syntax]\n"
            "    -> use single quotes",
        ),
        (
            'a: "\\xZZ"\n',
            "pod.yaml:1:7: error: an escape in double quotes lacks its hex digits [yaml-syntax]\n"
            "    -> write the digits, or use single quotes",
        ),
        (
            "a: - b\n",
            "pod.yaml:1:4: error: a '-' stands where no list can begin [yaml-syntax]\n"
            "    -> put the list on a new line",
        ),
        (
            "%YAML 1.1\n%YAML 1.1\n---\na: 1\n",
            "pod.yaml:2:1: error: two %YAML lines stand before one document [yaml-syntax]\n    -> remove one of them",
        ),
        (
            "a: |x\n",
            "pod.yaml:1:5: error: not YAML: did not find expected comment or line break [yaml-syntax]\n"
            "    -> correct the syntax at this place",
        ),
        (
            "arch: *****\n",
            "pod.yaml:1:7: error: a value that begins with '*' is the alias of a value, and none can be named so "
            "[yaml-syntax]\n    -> quote it if it is text, such as '*…'",
        ),
        (
            "files: [*.yaml]\n",
            "pod.yaml:1:9: error: a value that begins with '*' is the alias of a value, and none can be named so "
            "[yaml-syntax]\n    -> quote it if it is text, such as '*…'",
        ),
        (
            "pass: &!x\n",
            "pod.yaml:1:7: error: a value that begins with '&' is the anchor of a value, and none can be named so "
            "[yaml-syntax]\n    -> quote it if it is text, such as '&…'",
        ),
        (
            "a: *nowhere\n",
            "pod.yaml:1:4: error: the alias *nowhere has no anchor &nowhere that ends above it [yaml-alias]\n"
            "    -> define the anchor before its first use; quote the value if it is text",
        ),
        (
            "a: &a [*a]\n",
            "pod.yaml:1:8: error: the alias *a has no anchor &a that ends above it [yaml-alias]\n"
            "    -> define the anchor before its first use; quote the value if it is text",
        ),
        (
            "a: !!python/object/apply:os.system [x]\n",
            "pod.yaml:1:4: error: the YAML tag '!!python/object/apply:os.system' is not allowed [yaml-tag]\n"
            "    -> remove the tag",
        ),
        (
            "a: !!int x\n",
            "pod.yaml:1:4: error: 'x' is not a value of the type int that its tag names [yaml-tag]\n"
            "    -> correct the value or remove the tag",
        ),
        (
            "{a: b}: c\n",
            "pod.yaml:1:1: error: a mapping or list stands where a key must be [yaml-key]\n"
            "    -> write the key as plain text; quote text that begins with '{' or '['",
        ),
        (
            "<<: 3\n",
            "pod.yaml:1:1: error: the merge key '<<' needs a mapping or a list of mappings [yaml-merge]\n"
            "    -> merge an anchor that stands on a mapping, as in '<<: *anchor'",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "pod.yaml:3:1: error: a second YAML document begins here, but the file may hold one only "
            "[yaml-several-documents]\n    -> remove the '---' above it, or split the file",
        ),
        (
            "a: 1\n\ufeffb: 2\n",
            "pod.yaml:2:1: error: a byte order mark (U+FEFF) may stand at the very start of the file only "
            "[yaml-encoding]\n    -> remove it",
        ),
        (
            "a: x\x07y\n",
            "pod.yaml:1:5: error: the character U+0007 may not stand in a YAML file [yaml-encoding]\n    -> remove it",
        ),
        (
            b"a: 1\nb: caf\xe9\n",
            "pod.yaml:2: error: the byte 0xe9 cannot stand in UTF-8 text [yaml-encoding]\n"
            "    -> save the file as UTF-8",
        ),
        (
            "[" * 200,
            "pod.yaml:1:101: error: values are nested more than 100 levels deep [yaml-too-deep]\n    -> flatten them",
        ),
        (
            "x" * 5_000_001,
            "pod.yaml: error: the file is larger than 5 MB [yaml-too-large]\n    -> split it",
        ),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_refusals(text: str | bytes, expected: str) -> None:
    assert [str(problem) for problem in problems_of(text)] == [expected]


def test_numbers_that_may_be_meant_otherwise() -> None:
    document = load_yaml("a: 10:20:30:40:50:59\nb: 024\nc: '024'\nd: [0, 10, 10.0.0.1, 1:99]\n", "pod.yaml")
    assert [str(problem) for problem in document.warnings] == [
        "pod.yaml:1:4: warning: 10:20:30:40:50:59 without quotes is a number of base 60 to other YAML readers "
        "[yaml-misread]\n    -> put it in quotes if it is text, and write numbers without a leading 0",
        "pod.yaml:2:4: warning: 024 is the number 20: with a 0 in front it counts as octal [yaml-misread]\n"
        "    -> put it in quotes if it is text, and write numbers without a leading 0",
    ]


def test_all_duplicates_are_reported_at_once() -> None:
    assert [problem.line for problem in problems_of("a: 1\na: 2\nb: {c: 1,\n  c: 2}\n")] == [2, 4]


def test_encodings() -> None:
    assert load_yaml("\ufeffa: é\n", "").data == {"a": "é"}
    assert load_yaml("a: é\n".encode("utf-8-sig"), "").data == {"a": "é"}
    assert load_yaml("a: é\n".encode("utf-16"), "").data == {"a": "é"}
    assert load_yaml("a: 1\r\nb: 2\r\n", "").position(("b",)) == (2, 4)


def test_documents_keep_their_places() -> None:
    documents = load_yaml_all("a: 1\n---\nb: 2\n---\n- c\n", "manifest.yaml")
    assert [document.data for document in documents] == [{"a": 1}, {"b": 2}, ["c"]]
    assert [document.position(()) for document in documents] == [(1, 1), (3, 1), (5, 1)]


def test_anchors_end_with_their_document() -> None:
    with pytest.raises(DescriptorError):
        load_yaml_all("a: &x 1\n---\nb: *x\n", "")


BOMBS = {
    "aliases": "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)),
    "merges": "a: &a {" + ",".join(f"k{n}: 1" for n in range(3000)) + "}\nb:\n" + "- <<: *a\n" * 9000,
    "deep aliases": "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000)),
    "flow": "[" * 100_000,
    "block": "- " * 50_000,
    "keys": "? " * 50_000,
    "staircase": "\n".join(" " * n + "a:" for n in range(400)),
}


def test_a_bomb_of_aliases_is_named() -> None:
    (problem,) = problems_of(BOMBS["aliases"])
    assert problem.message == "the file holds more than 500000 values once its aliases are expanded"
    assert problem.remedy == "split it, or use fewer aliases"


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_time(name: str) -> None:
    start = time.process_time()
    assert problems_of(BOMBS[name])[0].rule in ("yaml-too-large", "yaml-too-deep", "yaml-key")
    assert time.process_time() - start < 2


@settings(deadline=None)  # machines are shared
@given(st.text(max_size=300) | st.text("-[]{}:,&*!|>'\"#%@`?<~ab \n\t", max_size=60) | st.binary(max_size=100))
def test_no_input_makes_a_traceback(text: str | bytes) -> None:
    try:
        document = load_yaml(text, "x")
    except DescriptorError as error:
        assert error.problems
    else:
        check_places(document)


def check_places(document: Document) -> None:
    pending: list[tuple[tuple[str | int, ...], object]] = [((), document.data)]
    while pending:
        path, value = pending.pop()
        line, column = document.position(path)
        assert line >= 1 and column >= 1
        items: list[tuple[str | int, object]] = []
        if isinstance(value, dict):
            items = list(value.items())
        elif isinstance(value, list):
            items = list(enumerate(value))
        pending.extend(((*path, key), item) for key, item in items)


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Co", "Cn")), max_size=30)
LIKE_NUMBERS = st.text("0123456789.:eExXoO_+-yYnN~", max_size=8)
LINES = st.text("ab \n\t#:-|>", max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PRINTABLE | LIKE_NUMBERS | LINES
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PRINTABLE | LIKE_NUMBERS, inner, max_size=4)
)


@settings(deadline=None)  # machines are shared
@given(DATA)
def test_what_is_written_is_read_again(data: object) -> None:
    text = dump_yaml(data)
    assert load_yaml(text, "").data == data
    assert dump_yaml(load_yaml(text, "").data) == text


@settings(deadline=None)  # machines are shared
@given(DATA)
def test_what_is_written_is_read_by_others(data: object) -> None:
    """PyYAML stands for them: YAML 1.1, with all its ways to misread text."""
    try:
        read = yaml.safe_load(dump_yaml({"data": data}))
    except yaml.constructor.ConstructorError:
        pytest.fail("another reader refuses it")
    assert read == {"data": data}


def test_written_documents() -> None:
    data = [{"b": 1, "a": ["x", {"z": None}]}, {"text": "one\ntwo\n", "mac": "52:54:00:12:34:56", "e": "1e3"}]
    text = dump_yaml_all(data)
    assert text == ("---\nb: 1\na:\n- x\n- z: null\n---\ntext: |\n  one\n  two\nmac: '52:54:00:12:34:56'\ne: '1e3'\n")
    assert [document.data for document in load_yaml_all(text, "")] == data


def test_shared_values_are_written_without_aliases() -> None:
    shared = ["x"]
    assert dump_yaml({"a": shared, "b": shared}) == "a:\n- x\nb:\n- x\n"
