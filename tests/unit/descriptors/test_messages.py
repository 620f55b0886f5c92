"""Every sentence about descriptors stands verbatim in a test: one that is changed or added without it fails here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.descriptors.broken_pod import ROOT

PACKAGE = ROOT / "iecpod"
SPEAKERS = sorted(
    [*(PACKAGE / "descriptors").rglob("*.py"), *PACKAGE.glob("yaml_*.py"), PACKAGE / "units.py"],
)
#: What makes a problem, and where its sentence stands among the arguments.
SENTENCE_OF_CALL = {"Finding": 2, "problem": 1, "report": 1, "ValueError": 0, "_problem": 3}
SHORTEST_SENTENCE = 12


def sentences(path: Path) -> Iterator[tuple[int, ast.expr]]:
    """Literals that a module says: sentences of problems, and what is assigned to `message` or returned as one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = SENTENCE_OF_CALL.get(name)
            if place is not None and len(node.args) > place:
                yield from literals(node.args[place])
            yield from (found for word in node.keywords if word.arg == "message" for found in literals(word.value))
        elif isinstance(node, ast.Assign) and {"message", "reason", "bounds"} & names_of(node.targets):
            yield from literals(node.value)
        elif isinstance(node, ast.Assign) and "_EXPLANATIONS" in names_of(node.targets):
            rows = node.value.elts if isinstance(node.value, ast.Tuple) else []
            yield from (found for row in rows if isinstance(row, ast.Tuple) for found in literals(row.elts[1]))
        elif (
            isinstance(node, ast.Return) and node.value is not None and path.name in ("messages.py", "yaml_scalars.py")
        ):
            yield from literals(node.value)


def names_of(targets: list[ast.expr]) -> set[str]:
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def literals(value: ast.expr) -> Iterator[tuple[int, ast.expr]]:
    if isinstance(value, ast.IfExp):
        yield from literals(value.body)
        yield from literals(value.orelse)
    elif isinstance(value, ast.Dict):
        yield from (found for item in value.values for found in literals(item))
    elif isinstance(value, ast.Tuple):
        yield from (found for item in value.elts for found in literals(item))
    elif isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        yield value.lineno, value


def text_of(value: ast.expr, hole: str) -> str:
    """A literal with something else in place of what is filled in."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    parts = value.values if isinstance(value, ast.JoinedStr) else []
    return "".join(str(part.value) if isinstance(part, ast.Constant) else hole for part in parts)


HOLE = "\0"
SENTENCES = {
    f"{path.relative_to(PACKAGE)}:{line}": text
    for path in SPEAKERS
    for line, value in sentences(path)
    if len((text := text_of(value, HOLE)).replace(HOLE, "")) >= SHORTEST_SENTENCE and " " in text
}
ASSERTED = "\n".join(
    text_of(node, "…")
    for path in sorted(Path(__file__).parents[1].rglob("test_*.py"))
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, (ast.Constant, ast.JoinedStr)) and path != Path(__file__)
)


def test_sentences_are_found() -> None:
    assert len(SENTENCES) > 100


@pytest.mark.parametrize("place", SENTENCES)
def test_sentence_stands_in_a_test(place: str) -> None:
    pattern = re.escape(SENTENCES[place]).replace(re.escape(HOLE), "[^\n]*?")
    assert re.search(pattern, ASSERTED), SENTENCES[place].replace(HOLE, "{}")
