"""What a plan makes of desired and observed objects."""

from __future__ import annotations

import pytest

from iecpod.design.plan import Action, make_plan
from iecpod.design.resources import Kind, Mark, ObservedResource, Resource
from iecpod.model import PodRef

REF = PodRef("local", "virtual1")
WANTED = Resource(kind=Kind.DOMAIN, name="local-virtual1-iec01", uuid="u", xml="<domain/>", digest="d1")


def observed(
    *,
    kind: Kind = Kind.DOMAIN,
    name: str = WANTED.name,
    ref: PodRef | None = REF,
    digest: str = "d1",
    active: bool = True,
) -> ObservedResource:
    mark = Mark(ref, "run", "2026-01-01T00:00:00Z", digest) if ref else None
    return ObservedResource(kind=kind, name=name, uuid="u", mark=mark, active=active)


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        ([], Action.CREATE),
        ([observed()], Action.KEEP),
        ([observed(active=False)], Action.START),
        ([observed(digest="d2")], Action.REPLACE),
        ([observed(kind=Kind.NETWORK, ref=None)], Action.CREATE),
    ],
)
def test_one_object(seen: list[ObservedResource], action: Action) -> None:
    plan = make_plan([WANTED], seen, REF)
    assert [change.action for change in plan.changes] == [action]
    assert plan.conflicts == ()


@pytest.mark.parametrize("ref", [None, PodRef("other", "virtual1")])
def test_the_name_of_an_object_that_is_not_ours_is_a_conflict(ref: PodRef | None) -> None:
    plan = make_plan([WANTED], [observed(ref=ref)], REF)
    assert plan.changes == ()
    assert str(plan.conflicts[0]) == (
        "domain local-virtual1-iec01: error: the hypervisor has a domain 'local-virtual1-iec01' that iecpod did not "
        "make [name-conflict]\n    -> rename or remove it, or use another hypervisor (-c); iecpod touches only what "
        "it made itself"
    )


def test_what_is_ours_and_no_longer_wanted_is_to_go_and_others_are_left() -> None:
    plan = make_plan([], [observed(), observed(name="jenkins-slave01", ref=None)], REF)
    assert [(change.action, change.name) for change in plan.changes] == [(Action.REMOVE, WANTED.name)]
    assert [change.action for change in plan.pending] == [Action.REMOVE]
