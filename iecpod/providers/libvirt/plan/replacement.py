"""What has to go before only that which changed is recreated: some workers, or the whole POD."""

from __future__ import annotations

from iecpod.design.changes import Action, Change, Plan, Replacement
from iecpod.providers.libvirt.objects import Kind


def plan_replacement(plan: Plan, control_plane: str) -> Replacement:
    """`control_plane` is its domain's name.

    A worker can leave a cluster and join it again. The cluster lives on its control plane, and no machine is attached
    to a network again that was recreated under it.
    """
    stands = any(change.kind == Kind.DOMAIN and change.action is not Action.CREATE for change in plan.changes)
    for change in plan.pending:
        if _takes_all(change, control_plane, stands=stands):
            return Replacement(whole=f"{change.kind} {change.name}: {change.reason}")
    return Replacement(machines=tuple(change.name for change in plan.replaced))


def _takes_all(change: Change, control_plane: str, *, stands: bool) -> bool:
    if change.action is Action.REMOVE:
        return change.kind != Kind.DOMAIN  # which is pruned, and nothing hangs on a worker
    carries = change.kind == Kind.NETWORK or change.name == control_plane
    return carries and (change.action is Action.REPLACE or (change.action is Action.CREATE and stands))
