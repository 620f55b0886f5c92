"""What was found in descriptors, as text for people, and as JSON and JUnit's XML for jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from iecpod.errors import Problem, Severity, count_errors, sort_problems
from iecpod.reports.junit import Case, CaseFailure, Suite, to_junit

#: Rules about a file as such begin so.


@dataclass(frozen=True, slots=True, kw_only=True)
class PodValidation:
    """`problems` are sorted: errors first, then warnings, each by place. `name` is `lab/pod`, or the path of a file.

    `rules` are the names of the rules that look at both files; none where one of them could not be read.
    """

    name: str
    files: tuple[str, ...]
    rules: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    pods: tuple[PodValidation, ...]

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
        return to_junit("iecpod validate", [Suite(pod.name, _cases(pod)) for pod in self.pods])


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


def _cases(pod: PodValidation) -> tuple[Case, ...]:
    """What is wrong with a file as such stands under the file, the rest by rule."""
    cases: dict[str, list[Problem]] = {name: [] for name in (*pod.files, *pod.rules)}
    for problem in pod.problems:
        is_of_file = problem.file in pod.files and problem.rule.startswith(
            ("yaml-", "schema-", "dialect-", "descriptor-")
        )
        cases.setdefault(problem.file if is_of_file else problem.rule, []).append(problem)
    return tuple(_case(pod.name, name, problems) for name, problems in cases.items())


def _case(pod: str, name: str, problems: Sequence[Problem]) -> Case:
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    warnings = [problem for problem in problems if problem.severity is Severity.WARNING]
    failure = CaseFailure(message=errors[0].message, kind=errors[0].rule, text=_joined(errors)) if errors else None
    return Case(classname=pod, name=name, failure=failure, output=_joined(warnings))


def _joined(problems: Iterable[Problem]) -> str:
    return "\n".join(map(str, problems))
