"""A rule: a named check with its severity, its reason, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from iecpod.descriptors.rules.documents import Path, PodView
from iecpod.errors import Problem, Severity
from iecpod.yaml.document import Document


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule."""

    document: Document
    path: Path
    message: str
    remedy: str


Check = Callable[[PodView], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """`source` is what the rule was learned from: a standard, or what real labs do.

    `fixed` is why a POD that breaks the rule cannot be built at all; empty if the rule can be demoted.
    """

    name: str
    severity: Severity
    reason: str
    source: str
    fixed: str = field(default="", kw_only=True)


@dataclass(frozen=True, slots=True)
class Rule(RuleFacts):
    """A rule that looks at a POD's descriptors."""

    check: Check

    def problems(self, pod: PodView) -> Iterator[Problem]:
        for finding in self.check(pod):
            yield finding.document.problem(
                finding.path, finding.message, finding.remedy, rule=self.name, severity=self.severity
            )


def error(name: str, *, reason: str, source: str, fixed: str = "") -> Callable[[Check], Rule]:
    """Makes a check an error: a POD that breaks it cannot work."""
    return lambda check: Rule(name, Severity.ERROR, reason, source, check, fixed=fixed)


def warning(name: str, *, reason: str, source: str) -> Callable[[Check], Rule]:
    """Makes a check a warning: real labs break it and work, or do not need what it is about."""
    return lambda check: Rule(name, Severity.WARNING, reason, source, check)
