"""`iecpod rules`: what is checked, why, and which rules may be demoted."""

from __future__ import annotations

import json
from collections.abc import Iterable

from iecpod.descriptors.messages import suggest
from iecpod.descriptors.rule_catalog import RULE_BOOK
from iecpod.descriptors.rules.rule import RuleFacts
from iecpod.errors import Severity, UsageError
from iecpod.reports.table import format_table


def rules_text() -> str:
    """A table; DEMOTE says whether `--demote` takes the rule, `-` where it only warns anyway."""
    rows = [(rule.name, rule.severity.value, _demotion(rule), rule.reason, rule.source) for rule in RULE_BOOK.values()]
    return format_table(("RULE", "SEVERITY", "DEMOTE", "REASON", "SOURCE"), rows)


def rules_json() -> str:
    rules = [
        {
            "name": rule.name,
            "severity": rule.severity.value,
            "demotable": _demotion(rule) == "yes",
            "reason": rule.reason,
            "source": rule.source,
            "fixed": rule.fixed,
        }
        for rule in RULE_BOOK.values()
    ]
    return json.dumps(rules, indent=2)


def select_demoted(names: Iterable[str]) -> frozenset[str]:
    """The rules as given, or `UsageError` for one that is unknown or that cannot be demoted.

    A rule that only warns is taken, so that a job's settings outlive a rule's severity.
    """
    selected = frozenset(names)
    for name in sorted(selected):
        rule = RULE_BOOK.get(name)
        if rule is None:
            remedy = suggest(name, list(RULE_BOOK)) or "`iecpod rules` lists them"
            raise UsageError(f"there is no rule {name[:80]!r}", remedy)
        if rule.fixed:
            raise UsageError(f"the rule {name} cannot be demoted: {rule.fixed}", "correct what it finds")
    return selected


def demotable_rules() -> frozenset[str]:
    return frozenset(rule.name for rule in RULE_BOOK.values() if _demotion(rule) == "yes")


def _demotion(rule: RuleFacts) -> str:
    if rule.severity is Severity.WARNING:
        return "-"
    return "no" if rule.fixed else "yes"
