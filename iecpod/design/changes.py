"""What has to change before a POD is as its descriptors say: the lines of `iecpod plan`."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from iecpod.errors import Problem


class Action(str, enum.Enum):
    """Signs as Terraform prints them."""

    CREATE = "+"
    START = "~"
    REPLACE = "-/+"
    REMOVE = "-"
    KEEP = " "


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is the provider's word for what changes: `domain`, `network`, `node`.

    `drift` says in words how what is there differs from what is wanted, also where a deploy lets it be.
    """

    action: Action
    kind: str
    name: str
    reason: str
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` has a row for every object, kept ones included; `conflicts` are names that others hold."""

    changes: tuple[Change, ...]
    conflicts: tuple[Problem, ...]

    @property
    def pending(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action is not Action.KEEP)

    @property
    def replaced(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action is Action.REPLACE)

    @property
    def created(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.action is Action.CREATE)

    def creates(self, kind: str) -> bool:
        return any(change.kind == kind for change in self.created)

    def replaces(self, kind: str) -> bool:
        return any(change.kind == kind for change in self.replaced)


@dataclass(frozen=True, slots=True)
class Replacement:
    """`machines` are those to remove. Where nothing of the POD can stay, `whole` says why."""

    machines: tuple[str, ...] = ()
    whole: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """An object that differs from the POD's design.

    `kind` is `domain`, `network`, `pool` or `vlan`; `node` is the host name where it is a node's domain, else empty.
    """

    kind: str
    name: str
    node: str
    differences: tuple[str, ...]


def check_nothing_to_create(plan: Plan) -> list[Problem]:
    """For a deploy that may create nothing: what of the POD is not there. What is there and off may be started."""
    return [
        Problem(
            path=f"{change.kind} {change.name}",
            message="it does not exist, and -f forbids creating anything",
            remedy="leave -f out: deploy makes what is missing",
            rule="nothing-to-reuse",
        )
        for change in plan.created
    ]
