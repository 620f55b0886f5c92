"""All rules, and how they are run over a POD's documents."""

from __future__ import annotations

from collections.abc import Collection

from iecpod.descriptors.pod_files import Descriptors
from iecpod.descriptors.rules import device_names, machines, management, networks, nics, pairing, roles, secrets, wires
from iecpod.descriptors.rules.documents import OtherFileNeeded, PodView, view_pod
from iecpod.descriptors.rules.rule import Rule
from iecpod.errors import Problem

#: In the order in which they are listed.
RULES: tuple[Rule, ...] = tuple(
    value
    for module in (machines, management, nics, networks, wires, device_names, pairing, roles, secrets)
    for value in vars(module).values()
    if isinstance(value, Rule)
)
#: More of one kind do not help.
_MAX_PROBLEMS_PER_RULE = 100


def check_pod(descriptors: Descriptors) -> list[Problem]:
    """Every place that breaks a rule. Values that the schemas refuse are passed over: the schemas name them.

    Where only one of the files is given, rules that ask for the other are passed over.
    """
    pod = view_pod(descriptors)
    return [problem for rule in RULES for problem in _problems(rule, pod)]


def _problems(rule: Rule, pod: PodView) -> Collection[Problem]:
    found: dict[tuple[object, ...], Problem] = {}
    try:
        for problem in rule.problems(pod):
            # What several aliases share is one fault in one place, not one for each alias.
            found.setdefault((problem.file, problem.line, problem.column, problem.message), problem)
            if len(found) >= _MAX_PROBLEMS_PER_RULE:
                break
    except OtherFileNeeded:
        return ()
    return found.values()
