"""What has to change: desired objects against those that the hypervisor shows."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from iecpod.design.drift import OFF, made_differently, set_differently
from iecpod.design.ownership import Foreign, Owner, find_foreign, is_owned
from iecpod.design.resources import Kind, ObservedResource, Resource
from iecpod.errors import Problem

_UNWANTED = "no longer in the descriptors"


class Action(str, enum.Enum):
    """Signs as Terraform prints them."""

    CREATE = "+"
    START = "~"
    REPLACE = "-/+"
    REMOVE = "-"
    KEEP = " "


@dataclass(frozen=True, slots=True)
class Change:
    """`drift` says in words how what is there differs from what is wanted, also where a deploy lets it be."""

    action: Action
    kind: Kind
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

    def creates(self, kind: Kind) -> bool:
        return any(change.kind is kind and change.action is Action.CREATE for change in self.changes)

    def replaces(self, kind: Kind) -> bool:
        return any(change.kind is kind for change in self.replaced)


def make_plan(desired: Sequence[Resource], observed: Sequence[ObservedResource], owner: Owner) -> Plan:
    """Compares by digest: libvirt rewrites the XML it is given, so the XML itself cannot be compared."""
    seen = {(resource.kind, resource.name): resource for resource in observed}
    by_uuid = {(resource.kind, resource.uuid): resource for resource in observed}
    changes: list[Change] = []
    conflicts: list[Problem] = []
    for resource in desired:
        existing = seen.get((resource.kind, resource.name)) or by_uuid.get((resource.kind, resource.uuid))
        foreign = find_foreign(existing, owner) if existing else None
        if existing and foreign:
            conflicts.append(_conflict(resource, existing.name, foreign))
        else:
            changes.append(_compare(resource, existing))
    wanted = {(resource.kind, resource.name) for resource in desired}
    changes.extend(
        Change(Action.REMOVE, resource.kind, resource.name, _UNWANTED, (_UNWANTED,))
        for resource in observed
        if resource.kind is not Kind.VOLUME
        and (resource.kind, resource.name) not in wanted
        and is_owned(resource, owner)
    )
    return Plan(tuple(changes), tuple(conflicts))


def _compare(resource: Resource, existing: ObservedResource | None) -> Change:
    if existing is None:
        return Change(Action.CREATE, resource.kind, resource.name, "does not exist", ("absent",))
    assert existing.mark is not None  # owned
    drift = set_differently(resource, existing)
    if resource.kind is not Kind.POOL and existing.mark.digest != resource.digest:
        drift = (*made_differently(resource, existing.mark), *drift)
        reason = "differs from the descriptors or options"
        return Change(Action.REPLACE, resource.kind, resource.name, _with(reason, drift), drift)
    if not existing.active:
        further = tuple(words for words in drift if words != OFF)
        return Change(Action.START, resource.kind, resource.name, _with("is not running", further), drift)
    return Change(Action.KEEP, resource.kind, resource.name, _with("in place", drift), drift)


def _with(reason: str, drift: tuple[str, ...]) -> str:
    return f"{reason} ({'; '.join(drift)})" if drift else reason


def _conflict(resource: Resource, holder: str, foreign: Foreign) -> Problem:
    return Problem(
        path=f"{resource.kind.value} {resource.name}",
        message=f"the hypervisor has a {resource.kind.value} {holder!r} that {foreign.why}",
        remedy=foreign.remedy,
        rule="name-conflict",
    )
