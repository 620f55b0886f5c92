"""JUnit's XML, as Jenkins reads it: suites of cases that passed, failed or were skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iecpod.printable import printable

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFailure:
    message: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`seconds` None is a check that is not timed; `skipped` is the reason why a case did not run."""

    classname: str
    name: str
    seconds: float | None = None
    failure: CaseFailure | None = None
    skipped: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """`seconds` None is the sum of the cases, which is wrong where they ran side by side."""

    name: str
    cases: tuple[Case, ...]
    seconds: float | None = None

    @property
    def total_seconds(self) -> float | None:
        times = [case.seconds for case in self.cases if case.seconds is not None]
        return self.seconds if self.seconds is not None or not times else sum(times)


def to_junit(name: str, suites: Sequence[Suite]) -> str:
    from xml.etree import ElementTree  # only this format needs it

    totals = [suite.total_seconds for suite in suites if suite.total_seconds is not None]
    cases = [case for suite in suites for case in suite.cases]
    root = ElementTree.Element("testsuites", _counts(name, cases, sum(totals) if totals else None))
    for suite in suites:
        element = ElementTree.SubElement(root, "testsuite", _counts(suite.name, suite.cases, suite.total_seconds))
        for case in suite.cases:
            _add_case(element, case)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _counts(name: str, cases: Sequence[Case], seconds: float | None) -> dict[str, str]:
    return {
        "name": _xml_text(name),
        "tests": str(len(cases)),
        "failures": str(sum(case.failure is not None for case in cases)),
        "errors": "0",
        "skipped": str(sum(bool(case.skipped) for case in cases)),
        **({"time": f"{seconds:.3f}"} if seconds is not None else {}),
    }


def _add_case(suite: Element, case: Case) -> None:
    from xml.etree.ElementTree import SubElement

    element = SubElement(suite, "testcase", classname=_xml_text(case.classname), name=_xml_text(case.name))
    if case.seconds is not None:
        element.set("time", f"{case.seconds:.3f}")
    if case.skipped:
        SubElement(element, "skipped", message=_xml_text(case.skipped))
    if case.failure is not None:
        failure = SubElement(element, "failure", message=_xml_text(case.failure.message), type=case.failure.kind)
        failure.text = _xml_text(case.failure.text)
    if case.output:
        SubElement(element, "system-out").text = _xml_text(case.output)


def _xml_text(text: str) -> str:
    """XML 1.0 can hold all that is printable; of the rest it can hold little, not even escaped."""
    return printable(text)
