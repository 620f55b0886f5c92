"""What a redeploy of only what changed takes away."""

from __future__ import annotations

import pytest

from iecpod.design.changes import Action, Change, Plan, Replacement
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.plan.replacement import plan_replacement

CONTROL_PLANE = "local-virtual1-iec01"
NETWORK = "local-virtual1-mgmt"
_KEPT = {
    (Kind.NETWORK, NETWORK): Action.KEEP,
    (Kind.POOL, "local-virtual1"): Action.KEEP,
    (Kind.DOMAIN, CONTROL_PLANE): Action.KEEP,
    (Kind.DOMAIN, "local-virtual1-iec02"): Action.KEEP,
    (Kind.DOMAIN, "local-virtual1-iec03"): Action.KEEP,
}


def plan(*changed: tuple[Kind, str, Action]) -> Plan:
    actions = {**_KEPT, **{(kind, name): action for kind, name, action in changed}}
    return Plan(tuple(Change(action, kind.value, name, "why") for (kind, name), action in actions.items()), ())


@pytest.mark.parametrize("action", [Action.KEEP, Action.START, Action.CREATE])
def test_what_a_deploy_puts_right_is_not_removed(action: Action) -> None:
    assert plan_replacement(plan((Kind.DOMAIN, "local-virtual1-iec02", action)), CONTROL_PLANE) == Replacement()


def test_workers_that_differ_go_alone() -> None:
    changed = plan((Kind.DOMAIN, "local-virtual1-iec02", Action.REPLACE), (Kind.DOMAIN, CONTROL_PLANE, Action.START))
    assert plan_replacement(changed, CONTROL_PLANE) == Replacement(machines=("local-virtual1-iec02",))


@pytest.mark.parametrize(
    ("kind", "name", "action"),
    [
        (Kind.DOMAIN, CONTROL_PLANE, Action.REPLACE),
        (Kind.DOMAIN, CONTROL_PLANE, Action.CREATE),
        (Kind.NETWORK, NETWORK, Action.REPLACE),
        (Kind.NETWORK, NETWORK, Action.CREATE),
        (Kind.NETWORK, "local-virtual1-private", Action.REMOVE),
    ],
)
def test_what_all_hangs_on_takes_all(kind: Kind, name: str, action: Action) -> None:
    changed = plan((Kind.DOMAIN, "local-virtual1-iec02", Action.REPLACE), (kind, name, action))
    assert plan_replacement(changed, CONTROL_PLANE) == Replacement(whole=f"{kind.value} {name}: why")


def test_a_worker_that_left_takes_nobody_with_it() -> None:
    """It is pruned afterwards."""
    changed = plan((Kind.DOMAIN, "local-virtual1-iec04", Action.REMOVE))
    assert plan_replacement(changed, CONTROL_PLANE) == Replacement()


def test_where_there_is_no_machine_yet_nothing_is_in_the_way() -> None:
    domains = [(kind, name, Action.CREATE) for kind, name in _KEPT if kind is Kind.DOMAIN]
    assert plan_replacement(plan(*domains, (Kind.NETWORK, NETWORK, Action.CREATE)), CONTROL_PLANE) == Replacement()
    whole = plan_replacement(plan(*domains, (Kind.NETWORK, NETWORK, Action.REPLACE)), CONTROL_PLANE).whole
    assert whole == f"network {NETWORK}: why"
