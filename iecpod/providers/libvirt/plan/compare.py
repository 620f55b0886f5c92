"""What has to change: desired objects against those that the hypervisor shows."""

from __future__ import annotations

from collections.abc import Sequence

from iecpod.design.changes import Action, Change, Plan
from iecpod.design.owner import Owner
from iecpod.errors import Problem
from iecpod.providers.libvirt.objects import Kind, ObservedResource, Resource, VlanLink
from iecpod.providers.libvirt.ownership import Foreign, find_foreign, is_owned
from iecpod.providers.libvirt.plan.drift import OFF, is_made_so, made_differently, set_differently

_UNWANTED = "no longer in the descriptors"
_PRUNABLE = f"{_UNWANTED}: `deploy --prune` drains and removes it"


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
        Change(Action.REMOVE, resource.kind.value, resource.name, _reason(resource.kind), (_UNWANTED,))
        for resource in observed
        if resource.kind is not Kind.VOLUME
        and (resource.kind, resource.name) not in wanted
        and is_owned(resource, owner)
    )
    return Plan(tuple(changes), tuple(conflicts))


def compare_links(wanted: Sequence[VlanLink], missing: Sequence[VlanLink]) -> tuple[Change, ...]:
    """Links between bridges have no definition: they are as wanted, or are made as what is off is started."""
    return tuple(
        Change(Action.START, "vlan", f"{link.vlan} on {link.trunk}", f"is not linked to {link.bridge}", (OFF,))
        if link in missing
        else Change(Action.KEEP, "vlan", f"{link.vlan} on {link.trunk}", "in place")
        for link in wanted
    )


def _reason(kind: Kind) -> str:
    return _PRUNABLE if kind is Kind.DOMAIN else _UNWANTED


def _compare(resource: Resource, existing: ObservedResource | None) -> Change:
    if existing is None:
        return Change(Action.CREATE, resource.kind.value, resource.name, "does not exist", ("absent",))
    assert existing.mark is not None  # owned
    drift = set_differently(resource, existing)
    if resource.kind is not Kind.POOL and not is_made_so(resource, existing.mark):
        drift = (*made_differently(resource, existing.mark), *drift)
        reason = "differs from the descriptors or options"
        return Change(Action.REPLACE, resource.kind.value, resource.name, _with(reason, drift), drift)
    if not existing.active:
        further = tuple(words for words in drift if words != OFF)
        return Change(Action.START, resource.kind.value, resource.name, _with("is not running", further), drift)
    return Change(Action.KEEP, resource.kind.value, resource.name, _with("in place", drift), drift)


def _with(reason: str, drift: tuple[str, ...]) -> str:
    return f"{reason} ({'; '.join(drift)})" if drift else reason


def _conflict(resource: Resource, holder: str, foreign: Foreign) -> Problem:
    return Problem(
        path=f"{resource.kind.value} {resource.name}",
        message=f"the hypervisor has a {resource.kind.value} {holder!r} that {foreign.why}",
        remedy=foreign.remedy,
        rule="name-conflict",
    )
