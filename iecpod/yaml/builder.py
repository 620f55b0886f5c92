"""Parser events to plain values with positions, in bounded memory; needs no YAML library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from iecpod.errors import Problem, Severity
from iecpod.yaml.scalars import explain_misreading, parse_float, parse_plain_scalar

#: The bounds of one file, which keep every reader of it within 2 s for each 100 kB, and within 512 MiB.
MAX_BYTES = 5_000_000
#: With every alias expanded. A node and its IDF entry have less than 100, so this is a POD of 5 000.
MAX_VALUES = 500_000
MAX_DEPTH = 100
#: More problems than a person reads in one go; the rest of a hopeless file is not looked at.
_MAX_PROBLEMS = 100

#: A place in the file, both counted from 0: `line << 24 | column`.
Mark: TypeAlias = int
#: Mark of a value and, for a container, the marks of its children in their order.
Marks: TypeAlias = "int | tuple[Marks, ...]"

TAG_PREFIX = "tag:yaml.org,2002:"
_TYPE_OF_TAG = {"int": int, "bool": bool, "null": type(None)}


def pack_mark(line: int, column: int) -> Mark:
    return line << 24 | column


def line_and_column(marks: Marks) -> tuple[int, int]:
    """As editors count, from 1."""
    while isinstance(marks, tuple):
        marks = marks[0]
    return (marks >> 24) + 1, (marks & 0xFFFFFF) + 1


class Stop(Exception):
    """Reading on makes no sense; the problem is recorded."""


@dataclass(slots=True)
class _Frame:
    """A container that is being read; `key` is the mapping key whose value comes next."""

    is_mapping: bool
    mark: Mark
    anchor: str | None
    count_before: int
    values: list[object] = field(default_factory=list)
    marks: list[Marks] = field(default_factory=list)
    keys: dict[str, None] = field(default_factory=dict)
    merged: dict[str, tuple[object, Marks]] = field(default_factory=dict)
    key: str | None = None
    key_mark: Mark = 0
    merging: bool = False
    duplicate: bool = False
    height: int = 0

    @property
    def wants_key(self) -> bool:
        return self.is_mapping and self.key is None

    def finish(self) -> tuple[object, Marks]:
        if not self.is_mapping:
            return self.values, (self.mark, *self.marks)
        entries = dict(self.merged)
        entries.update(zip(self.keys, zip(self.values, self.marks, strict=True), strict=True))
        value = {key: item for key, (item, _) in entries.items()}
        return value, (self.mark, *(marks for _, marks in entries.values()))


@dataclass(frozen=True, slots=True)
class _Anchored:
    """`count` values when expanded, `height` levels of containers."""

    value: object
    marks: Marks
    count: int
    height: int


class Builder:
    """Takes events, keeps its own stack (so that depth is bounded without recursion), collects documents."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.documents: list[tuple[object, Marks]] = []
        self._file = file
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._count = 0

    def report(self, mark: Mark, message: str, remedy: str, rule: str) -> None:
        self.problems.append(self._problem(mark, message, remedy, rule, Severity.ERROR))
        if len(self.problems) >= _MAX_PROBLEMS:
            raise Stop

    def _problem(self, mark: Mark, message: str, remedy: str, rule: str, severity: Severity) -> Problem:
        line, column = line_and_column(mark)
        return Problem(
            message=message,
            remedy=remedy,
            file=self._file,
            line=line,
            column=column,
            rule=rule,
            severity=severity,
        )

    def _check_reading(self, text: str, mark: Mark) -> None:
        message = explain_misreading(text)
        if message and len(self.warnings) < _MAX_PROBLEMS:
            remedy = "put it in quotes if it is text, and write numbers without a leading 0"
            self.warnings.append(self._problem(mark, message, remedy, "yaml-misread", Severity.WARNING))

    def start_document(self) -> None:
        self._anchors.clear()

    def scalar(self, text: str, tag: str | None, plain: bool, anchor: str | None, mark: Mark) -> None:
        if self._stack and self._stack[-1].wants_key:
            self._key(self._stack[-1], text, mark, merging=plain and text == "<<")
            value: object = text
        else:
            value = self._scalar_value(text, tag, plain, mark)
            if plain and tag is None:
                self._check_reading(text, mark)
            self._add_count(1, mark)
            self._place(value, mark, 0)
        if anchor:
            self._anchors[anchor] = _Anchored(value, mark, 1, 0)

    def open(self, is_mapping: bool, tag: str | None, anchor: str | None, mark: Mark) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._too_deep(mark)
        if tag not in (None, "!", TAG_PREFIX + ("map" if is_mapping else "seq")):
            self._refuse_tag(str(tag), mark)
        if self._stack and self._stack[-1].wants_key:
            self._refuse_key(mark)
        self._stack.append(_Frame(is_mapping, mark, anchor, self._count))
        self._add_count(1, mark)

    def close(self) -> None:
        frame = self._stack.pop()
        value, marks = frame.finish()
        height = frame.height + 1
        if frame.anchor:
            self._anchors[frame.anchor] = _Anchored(value, marks, self._count - frame.count_before, height)
        self._place(value, marks, height)

    def alias(self, name: str, mark: Mark) -> None:
        anchored = self._anchors.get(name)
        if anchored is None or any(frame.anchor == name for frame in self._stack):
            message = f"the alias *{name} has no anchor &{name} that ends above it"
            remedy = "define the anchor before its first use; quote the value if it is text"
            self.report(mark, message, remedy, "yaml-alias")
            raise Stop
        if self._stack and self._stack[-1].wants_key:
            if not isinstance(anchored.value, str):
                self._refuse_key(mark)
            self._key(self._stack[-1], str(anchored.value), mark, merging=False)
            return
        if len(self._stack) + anchored.height > MAX_DEPTH:
            self._too_deep(mark)
        self._add_count(anchored.count, mark)
        children = anchored.marks[1:] if isinstance(anchored.marks, tuple) else ()
        self._place(anchored.value, (mark, *children) if anchored.height else mark, anchored.height)

    def _key(self, frame: _Frame, key: str, mark: Mark, *, merging: bool) -> None:
        frame.key, frame.key_mark, frame.merging = key, mark, merging
        frame.duplicate = not merging and key in frame.keys
        if frame.duplicate:
            self.report(
                mark,
                f"the key {key[:80]!r} stands in this mapping a second time",
                "keep one of the two: most YAML readers silently take the last",
                "yaml-duplicate-key",
            )

    def _scalar_value(self, text: str, tag: str | None, plain: bool, mark: Mark) -> object:
        if tag is None:
            return parse_plain_scalar(text) if plain else text
        if tag == "!":
            return text  # YAML's way to say "as it stands"
        name = tag.removeprefix(TAG_PREFIX)
        if name == "str":
            return text
        value = parse_plain_scalar(text)
        if name == "float" and type(value) in (int, float):
            return parse_float(text) if isinstance(value, float) else float(str(value))
        if name in _TYPE_OF_TAG and type(value) is _TYPE_OF_TAG[name]:
            return value
        if name in _TYPE_OF_TAG or name == "float":
            message = f"{text[:80]!r} is not a value of the type {name} that its tag names"
            self.report(mark, message, "correct the value or remove the tag", "yaml-tag")
        else:
            self._refuse_tag(tag, mark)
        return None

    def _place(self, value: object, marks: Marks, height: int) -> None:
        """Puts a finished value where it belongs: into its parent, or out as a document."""
        if not self._stack:
            self.documents.append((value, marks))
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height)
        if not frame.is_mapping:
            frame.values.append(value)
            frame.marks.append(marks)
        elif frame.merging:
            self._merge(frame, value, marks)
        elif not frame.duplicate and frame.key is not None:
            frame.keys[frame.key] = None
            frame.values.append(value)
            frame.marks.append(_shown_by_key(marks, frame.key_mark))
        frame.key = None

    def _merge(self, frame: _Frame, value: object, marks: Marks) -> None:
        """`<<: mapping` or `<<: [mapping, …]`; of several, the first that has a key wins."""
        sources: list[tuple[object, Marks]] = [(value, marks)]
        if isinstance(value, list) and isinstance(marks, tuple):
            sources = list(zip(value, marks[1:], strict=True))
        for source, source_marks in sources:
            if not isinstance(source, dict) or not isinstance(source_marks, tuple):
                self.report(
                    frame.key_mark,
                    "the merge key '<<' needs a mapping or a list of mappings",
                    "merge an anchor that stands on a mapping, as in '<<: *anchor'",
                    "yaml-merge",
                )
                return
            self._add_count(len(source), frame.key_mark)
            for (key, item), item_marks in zip(source.items(), source_marks[1:], strict=True):
                frame.merged.setdefault(key, (item, item_marks))

    def _add_count(self, count: int, mark: Mark) -> None:
        self._count += count
        if self._count > MAX_VALUES:
            message = f"the file holds more than {MAX_VALUES} values once its aliases are expanded"
            self.report(mark, message, "split it, or use fewer aliases", "yaml-too-large")
            raise Stop

    def _too_deep(self, mark: Mark) -> None:
        self.report(mark, f"values are nested more than {MAX_DEPTH} levels deep", "flatten them", "yaml-too-deep")
        raise Stop

    def _refuse_tag(self, tag: str, mark: Mark) -> None:
        shown = tag.replace(TAG_PREFIX, "!!", 1)[:80]
        self.report(mark, f"the YAML tag {shown!r} is not allowed", "remove the tag", "yaml-tag")

    def _refuse_key(self, mark: Mark) -> None:
        message = "a mapping or list stands where a key must be"
        self.report(mark, message, "write the key as plain text; quote text that begins with '{' or '['", "yaml-key")
        raise Stop


def _shown_by_key(marks: Marks, key_mark: Mark) -> Marks:
    """A container that begins below its key is shown by the key, which is what a person looks for."""
    if isinstance(marks, tuple) and isinstance(marks[0], int) and marks[0] >> 24 > key_mark >> 24:
        return (key_mark, *marks[1:])
    return marks
