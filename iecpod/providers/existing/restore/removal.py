"""Puts machines back as their records say they were; what cannot be put back is listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.owner import Owner
from iecpod.errors import IecpodError, NodeError, NodeUnreachable, WaitTimeout
from iecpod.ports import Reporter, Shell
from iecpod.providers.existing.node_facts import RECORD_DIR
from iecpod.providers.existing.restore import restore_scripts as scripts
from iecpod.providers.existing.restore.comparison import COMPARE, COMPARED, STAYS

_STEP_SECONDS = 1200.0
_SHORT_SECONDS = 120.0
_MOST_LEFT = 100
_MOST_CHARACTERS = 2000

#: In order: what is said, and the script. Rules need programs that go with the packages.
_STEPS = (
    ("leaves the cluster", scripts.LEAVE),
    ("stops what was started", scripts.STOP),
    ("removes networks of pods", scripts.NETWORK),
    ("removes packages", scripts.PACKAGES),
    ("puts files back", scripts.FILES),
    ("puts kernel settings and swap back", scripts.KERNEL),
)

_NO_RECORD = "none"
_READ_OWNER = f'if test -e "$1"; then cat "$1/owner"; else echo {_NO_RECORD}; fi'


@dataclass(frozen=True, slots=True)
class Restored:
    """By node, what is left; `unknown` are the nodes that did not answer, each with the reason."""

    left: Mapping[str, tuple[str, ...]]
    unknown: Mapping[str, str]

    def listed(self) -> tuple[str, ...]:
        """Nothing only where every node answered and has nothing left."""
        left = [f"{node}: {what}" for node, found in self.left.items() for what in found]
        return (*left, *(f"{node}: unknown, since it does not answer ({why})" for node, why in self.unknown.items()))


def restore_nodes(
    shells: Mapping[str, Shell], owner: Owner, reporter: Reporter, kept: frozenset[str] = frozenset()
) -> Restored:
    """All nodes at once. A node that is another installation's is left alone, and reported as what is left.

    Those that are `kept` keep their record and the POD's key.
    """
    found = run_on_nodes(tuple(shells), lambda name: _restore(shells[name], owner, reporter, forget=name not in kept))
    return Restored(
        left={name: left for name, left in found.items() if isinstance(left, tuple) and left},
        unknown={name: why for name, why in found.items() if isinstance(why, str)},
    )


def _restore(shell: Shell, owner: Owner, reporter: Reporter, *, forget: bool) -> tuple[str, ...] | str:
    """What is left; a text where the node stopped to answer."""
    try:
        if not _is_ours(shell, owner):
            return ()
        for step, script in _STEPS:
            reporter.progress(step, shell.node)
            shell.run(["sh", "-c", script, "restore"], timeout_seconds=_STEP_SECONDS, check=False)
        left = _compare(shell, reporter)
        if not left and forget:
            shell.run(["sh", "-c", scripts.FORGET, "forget"], timeout_seconds=_SHORT_SECONDS)
        if not left:
            reporter.progress("is as it was", shell.node)
        return left
    except (NodeUnreachable, WaitTimeout) as error:
        return error.cause.removeprefix(f"{shell.node}: ")
    except IecpodError as error:
        return (error.cause.removeprefix(f"{shell.node}: "),)


def _is_ours(shell: Shell, owner: Owner) -> bool:
    """Whether there is a record. Raises `NodeError` where it is another's, and where the node does not say it."""
    said = shell.run(["sh", "-c", _READ_OWNER, "owner", RECORD_DIR], timeout_seconds=_SHORT_SECONDS).stdout
    if said == f"{_NO_RECORD}\n":
        return False
    expected = [f"installation={owner.installation}", f"pod={owner.ref}", f"node={shell.node}"]
    if not said.strip():
        raise NodeError(shell.node, "it does not say whether it has a record")
    if said.splitlines() != expected:
        raise NodeError(shell.node, f"its record is another's: {' '.join(said.split())[:300]}")
    return True


def _compare(shell: Shell, reporter: Reporter) -> tuple[str, ...]:
    """What is left. What stays and is no fault is reported only."""
    said = shell.run(["sh", "-c", COMPARE, "compare"], timeout_seconds=_SHORT_SECONDS * 5).stdout
    *listed, end = said.splitlines() or [""]
    if end != COMPARED:
        raise NodeError(shell.node, "it does not say whether it is as it was")
    lines = [line[:_MOST_CHARACTERS] for line in listed if line.strip()]
    for line in _bounded([line.removeprefix(STAYS) for line in lines if line.startswith(STAYS)]):
        reporter.warn(f"{shell.node}: differs from before: {line}")
    return _bounded([line for line in lines if not line.startswith(STAYS)])


def _bounded(left: Sequence[str]) -> tuple[str, ...]:
    more = len(left) - _MOST_LEFT
    return (*left[:_MOST_LEFT], *((f"{more} more",) if more > 0 else ()))
