"""Which checkpoint is meant, and which one fits a POD as it is to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iecpod.cache.selection import find_meant, select_meant
from iecpod.checkpoints.checkpoint_store import CheckpointStore, Kept
from iecpod.checkpoints.manifest import Checkpoint
from iecpod.errors import UsageError
from iecpod.model import PodRef
from iecpod.provider import CheckpointInputs

_MOST_REASONS = 5


@dataclass(frozen=True, slots=True)
class Fit:
    """The checkpoint that a deploy of now would end as; None with the reason."""

    checkpoint: Checkpoint | None
    why_not: str = ""


def find_fit(store: CheckpointStore, ref: PodRef, inputs: CheckpointInputs) -> Fit:
    """Of the unnamed ones, the latest that was made of the same; one with memory that loads first."""
    own = [one for one in checkpoints_of(store, ref) if not one.name]
    if not own:
        return Fit(None, "there is none")
    fitting = [one for one in own if one.inputs == inputs.deploy]
    fitting.sort(key=lambda one: one.memory_inputs != inputs.memory)
    if fitting:
        return Fit(fitting[0])
    return Fit(None, f"{own[0].id} was made with another {describe_difference(own[0].inputs, inputs.deploy)}")


def fit_text(fit: Fit, inputs: CheckpointInputs) -> str:
    """For `iecpod plan`."""
    if fit.checkpoint is None:
        return f"none fits: {fit.why_not}"
    how = "fits" if fit.checkpoint.memory_inputs == inputs.memory else "fits, by its disks: the machines would boot"
    return f"{fit.checkpoint.id} of {fit.checkpoint.made_at} {how} (`redeploy --checkpoint`)"


def describe_difference(made_of: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Names of inputs, as a list that follows the word `another`."""
    names = [name for name in dict.fromkeys((*wanted, *made_of)) if made_of.get(name) != wanted.get(name)]
    shown = ", ".join(names[:_MOST_REASONS])
    return shown + (f" and {len(names) - _MOST_REASONS} more" if len(names) > _MOST_REASONS else "")


def checkpoints_of(store: CheckpointStore, ref: PodRef) -> list[Checkpoint]:
    """The latest first."""
    return [kept.checkpoint for kept in store.find_all() if kept.checkpoint and kept.checkpoint.ref == ref]


def choose_checkpoint(store: CheckpointStore, ref: PodRef, name: str | None) -> Checkpoint:
    """By name or id, or how an id begins; without a name the latest unnamed one.

    Raises `UsageError`.
    """
    found = checkpoints_of(store, ref)
    if name is None:
        unnamed = [one for one in found if not one.name]
        if unnamed:
            return unnamed[0]
        raise UsageError(
            f"there is no checkpoint of POD {ref} without a name",
            f"give the name of one: {_listed(found)}" if found else "save one with `iecpod checkpoint save`",
        )
    named = find_meant(found, name, names=lambda one: (one.name,), ids=lambda one: (one.id,))
    if len(named) == 1:
        return named[0]
    problem = f"{name!r} may be {_listed(named)}" if named else f"POD {ref} has no checkpoint {name!r}"
    raise UsageError(problem, "`iecpod checkpoint ls` lists what there is")


def select_kept(kept: Sequence[Kept], names: Sequence[str]) -> list[Kept]:
    """Of all PODs, by id or name, damaged ones included. Raises `UsageError` for all that mean nothing at once."""
    return select_meant(
        kept,
        names,
        names=lambda one: (one.checkpoint.name,) if one.checkpoint else (),
        ids=lambda one: (one.id,),
        missing="there is no checkpoint {}",
        remedy="`iecpod checkpoint ls` lists what there is; nothing was changed",
    )


def _listed(found: Sequence[Checkpoint]) -> str:
    return ", ".join(one.name or one.id for one in found)
