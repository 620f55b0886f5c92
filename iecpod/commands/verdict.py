"""What was found in descriptors, as text for people, and as JSON and JUnit's XML for jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iecpod.errors import Problem, Severity, count_errors, sort_problems

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


#: Rules about a file as such begin so.
_RULES_OF_FILES = ("yaml-", "schema-", "dialect-", "descriptor-")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodVerdict:
    """`problems` are sorted: errors first, then warnings, each by place. `name` is `lab/pod`, or the path of a file.

    `rules` are the names of the rules that look at both files; none where one of them could not be read.
    """

    name: str
    files: tuple[str, ...]
    rules: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    pods: tuple[PodVerdict, ...]

    @property
    def problems(self) -> list[Problem]:
        """Of all PODs: errors first, then warnings, each by place."""
        return sort_problems(problem for pod in self.pods for problem in pod.problems)

    @property
    def errors(self) -> int:
        return sum(count_errors(pod.problems) for pod in self.pods)

    @property
    def warnings(self) -> int:
        return sum(len(pod.problems) for pod in self.pods) - self.errors

    def to_text(self) -> str:
        counts = ", ".join(
            f"{number} {noun}{'' if number == 1 else 's'}"
            for number, noun in ((len(self.pods), "POD"), (self.errors, "error"), (self.warnings, "warning"))
        )
        return "\n".join([*map(str, self.problems), counts])

    def to_json(self) -> str:
        pods = [
            {
                "name": pod.name,
                "files": list(pod.files),
                "problems": [_problem_data(problem) for problem in pod.problems],
            }
            for pod in self.pods
        ]
        return json.dumps({"pods": pods, "errors": self.errors, "warnings": self.warnings}, indent=2)

    def to_junit(self) -> str:
        """One suite a POD; in it one case a file (YAML and schema) and one a rule. Warnings are a case's output."""
        from xml.etree import ElementTree  # only this format needs it

        root = ElementTree.Element("testsuites")
        suites = [ElementTree.SubElement(root, "testsuite") for _ in self.pods]
        cases = failures = 0
        for pod, suite in zip(self.pods, suites, strict=True):
            by_case = _cases(pod)
            failed = sum(count_errors(problems) > 0 for problems in by_case.values())
            _set_counts(suite, pod.name, len(by_case), failed)
            cases, failures = cases + len(by_case), failures + failed
            for name, problems in by_case.items():
                case = ElementTree.SubElement(suite, "testcase", classname=_xml_text(pod.name), name=_xml_text(name))
                _fill_case(case, problems)
        _set_counts(root, "iecpod validate", cases, failures)
        ElementTree.indent(root)
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _problem_data(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity.value,
        "rule": problem.rule,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "remedy": problem.remedy,
    }


def _cases(pod: PodVerdict) -> dict[str, list[Problem]]:
    """The problems of each test case: what is wrong with a file as such stands under the file, the rest by rule."""
    cases: dict[str, list[Problem]] = {name: [] for name in (*pod.files, *pod.rules)}
    for problem in pod.problems:
        is_of_file = problem.file in pod.files and problem.rule.startswith(
            ("yaml-", "schema-", "dialect-", "descriptor-")
        )
        cases.setdefault(problem.file if is_of_file else problem.rule, []).append(problem)
    return cases


def _set_counts(element: Element, name: str, tests: int, failures: int) -> None:
    counts = {"tests": tests, "failures": failures, "errors": 0, "skipped": 0}
    element.attrib.update({"name": _xml_text(name), **{key: str(count) for key, count in counts.items()}})


def _fill_case(case: Element, problems: Sequence[Problem]) -> None:
    from xml.etree.ElementTree import SubElement

    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        failure = SubElement(case, "failure", message=_xml_text(errors[0].message), type=_xml_text(errors[0].rule))
        failure.text = _joined(errors)
    warnings = [problem for problem in problems if problem.severity is Severity.WARNING]
    if warnings:
        SubElement(case, "system-out").text = _joined(warnings)


def _joined(problems: Iterable[Problem]) -> str:
    return _xml_text("\n".join(map(str, problems)))


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
