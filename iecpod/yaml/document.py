"""YAML in and out: plain values with positions, read in bounded time and memory; the only importer of `yaml`.

The bounds of a file stand in `yaml_builder`. Not a general YAML reader: every key is text (`1:` and `on:` too), dates
and base-60 integers stay text, and tags other than YAML's core ones are refused.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from iecpod.errors import DescriptorError, Problem, Severity
from iecpod.yaml.builder import MAX_BYTES, MAX_DEPTH, TAG_PREFIX, Builder, Mark, Marks, Stop, line_and_column, pack_mark
from iecpod.yaml.messages import explain_syntax_error
from iecpod.yaml.scalars import is_ambiguous

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PATH_PART = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")
#: The characters that YAML allows, turned round: compiling a set of all of them would take longer than reading a POD.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: `data` is made of dict (text keys), list, str, int, float, bool and None only.

    `warnings` are about the whole file: what stands there and may be meant otherwise.
    What an alias stands for is the same object everywhere: read it, do not change it.
    """

    data: object = field(repr=False)  # large, and may hold secrets
    file: str
    marks: Marks = field(repr=False)
    warnings: tuple[Problem, ...] = ()

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column, from 1, of the value at `path`, or of its nearest parent where there is no such value.

        A mapping or list that begins on a line below its key is shown by its key. What an alias stands for is shown
        where it is written, the alias itself where it is used.
        """
        value, marks = self.data, self.marks
        for part in path:
            if isinstance(marks, int):
                break
            if isinstance(value, dict) and part in value:
                marks = marks[1 + list(value).index(part)]
                value = value[part]
            elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
                marks = marks[1 + part]
                value = value[part]
            else:
                break
        return line_and_column(marks)

    def texts(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every value that is text, with its path; what aliases share is visited once."""
        seen: set[int] = set()
        pending: list[tuple[tuple[str | int, ...], object]] = [((), self.data)]
        while pending:
            path, value = pending.pop()
            if isinstance(value, str):
                yield path, value
            elif isinstance(value, (dict, list)) and id(value) not in seen:
                seen.add(id(value))
                items = value.items() if isinstance(value, dict) else enumerate(value)
                pending.extend(((*path, key), item) for key, item in items)

    def with_texts(self, replace: Callable[[str], str]) -> Document:
        """A copy in which every value that is text is what `replace` makes of it; what aliases share stays shared."""
        return dataclasses.replace(self, data=_with_texts(self.data, replace, {}))

    def problem(
        self,
        path: Sequence[str | int],
        message: str,
        remedy: str = "",
        *,
        rule: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        """A problem with the value at `path`."""
        line, column = self.position(path)
        return Problem(
            message=message,
            remedy=remedy,
            file=self.file,
            line=line,
            column=column,
            path=dotted_path(path),
            rule=rule,
            severity=severity,
        )


def _with_texts(value: object, replace: Callable[[str], str], done: dict[int, object]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, (dict, list)) and id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _with_texts(item, replace, done) for key, item in value.items()}
        else:
            done[id(value)] = [_with_texts(item, replace, done) for item in value]
    return done.get(id(value), value)


def dotted_path(path: Iterable[str | int]) -> str:
    """`("nodes", 0, "name")` as `nodes[0].name`; what no terminal should be shown is escaped."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in path)
    return text.removeprefix(".")


def _printable(key: str) -> str:
    return key if key.isprintable() else key.encode("unicode_escape").decode()


def split_path(path: str) -> tuple[str | int, ...]:
    """The reverse of `dotted_path`, for printable keys without dots and brackets."""
    return tuple(int(index) if index else key for index, key in _PATH_PART.findall(path))


def load_yaml(text: str | bytes, file: str) -> Document:
    """The one document of a file; an empty file holds None. Raises `DescriptorError` with all problems found."""
    documents = _load(text, file)
    if len(documents) > 1:
        line, column = line_and_column(documents[1].marks)
        problem = Problem(
            message="a second YAML document begins here, but the file may hold one only",
            remedy="remove the '---' above it, or split the file",
            file=file,
            line=line,
            column=column,
            rule="yaml-several-documents",
        )
        raise _error([problem], file)
    return documents[0] if documents else Document(None, file, 0)


def load_yaml_all(text: str | bytes, file: str) -> tuple[Document, ...]:
    """All documents of a file such as a Kubernetes manifest, empty ones left out. Raises `DescriptorError`."""
    return tuple(document for document in _load(text, file) if document.data is not None)


class _PlainDumper(_Dumper):  # type: ignore[misc]
    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else "'" if is_ambiguous(text) else None
    return dumper.represent_scalar(TAG_PREFIX + "str", text, style=style)


_PlainDumper.add_representer(str, _represent_text)
_DUMP_STYLE: dict[str, Any] = {
    "sort_keys": False,
    "default_flow_style": False,
    "allow_unicode": True,
    "width": 1_000_000,
}


def dump_yaml(data: object) -> str:
    """Block style, keys in their order, no aliases; what some YAML reader would not take for text is quoted."""
    return str(yaml.dump(data, Dumper=_PlainDumper, **_DUMP_STYLE))


def dump_yaml_all(documents: Iterable[object]) -> str:
    """Several documents, each behind `---`."""
    return str(yaml.dump_all(list(documents), Dumper=_PlainDumper, explicit_start=True, **_DUMP_STYLE))


def _error(problems: Sequence[Problem], file: str) -> DescriptorError:
    return DescriptorError(problems, f"{file or 'the input'} cannot be read as YAML", "correct the places listed")


def _load(text: str | bytes, file: str) -> tuple[Document, ...]:
    decoded = _decode(text, file)
    builder = Builder(file)
    loader = _Loader(decoded.encode())
    try:
        while (event := loader.get_event()) is not None:
            _feed(builder, event)
    except Stop:
        pass
    except yaml.MarkedYAMLError as error:
        builder.problems.append(_syntax_problem(error, decoded, file))
    except yaml.YAMLError as error:
        builder.problems.append(Problem(message=f"not YAML: {error}", file=file, rule="yaml-syntax"))
    finally:
        loader.dispose()
    if builder.problems:
        raise _error(builder.problems, file)
    return tuple(Document(value, file, marks, tuple(builder.warnings)) for value, marks in builder.documents)


#: Complaints about what does not end well: shown where quote, bracket, alias, anchor or key begin.
_SHOWN_AT_BEGIN = ("unexpected end of stream", "expected ',' or", "find expected ':'", "alphabetic or numeric")


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    complaint, context = str(error.problem or ""), str(error.context or "")
    place = error.problem_mark or error.context_mark
    if any(part in complaint for part in _SHOWN_AT_BEGIN):
        place = error.context_mark or place
    line, column = (place.line, place.column) if place else (0, 0)
    if "nesting depth" in complaint:  # libyaml has a bound of its own from 0.2.6 on, and reads ahead of what it reports
        message = f"values are nested more than {MAX_DEPTH} levels deep"
        remedy = "flatten them"
        return Problem(
            message=message, remedy=remedy, file=file, line=line + 1, column=column + 1, rule="yaml-too-deep"
        )
    return explain_syntax_error(complaint, context, line, column, text, file)


def _feed(builder: Builder, event: Any) -> None:
    kind = type(event)
    if kind is yaml.ScalarEvent:
        builder.scalar(event.value, event.tag, event.implicit[0], event.anchor, _mark(event))
    elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
        builder.open(kind is yaml.MappingStartEvent, event.tag, event.anchor, _mark(event))
    elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
        builder.close()
    elif kind is yaml.AliasEvent:
        builder.alias(event.anchor, _mark(event))
    elif kind is yaml.DocumentStartEvent:
        builder.start_document()


def _mark(event: Any) -> Mark:
    return pack_mark(event.start_mark.line, event.start_mark.column)


def _decode(content: str | bytes, file: str) -> str:
    """The input as text without a byte order mark at its start. Raises `DescriptorError` for what is not text."""
    if len(content) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 1_000_000} MB"
        raise _error([Problem(message=message, remedy="split it", file=file, rule="yaml-too-large")], file)
    text = content if isinstance(content, str) else _decode_bytes(content, file)
    text = text.removeprefix("\ufeff")
    if bad := _CONTROL.search(text):
        raise _error([_control_problem(text, bad.start(), file)], file)
    return text


def _decode_bytes(content: bytes, file: str) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        problem = Problem(
            message=f"the byte 0x{content[error.start]:02x} cannot stand in {encoding.upper()} text",
            remedy="save the file as UTF-8",
            file=file,
            line=content.count(b"\n", 0, error.start) + 1,
            rule="yaml-encoding",
        )
        raise _error([problem], file) from None


def _control_problem(text: str, offset: int, file: str) -> Problem:
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    message = f"the character U+{ord(text[offset]):04X} may not stand in a YAML file"
    if text[offset] == "\ufeff":
        message = "a byte order mark (U+FEFF) may stand at the very start of the file only"
    return Problem(
        message=message,
        remedy="remove it",
        file=file,
        line=before.count("\n") + 1,
        column=len(before) - before.rfind("\n"),
        rule="yaml-encoding",
    )
