"""`iecpod gc`: what aborted runs left goes, once it is old enough; what a run made and finished stays.

A POD is left over where its last deploy has written no report, or one of a failure, and nothing of it is younger than
the limit: neither the objects with its mark nor the note of its last deploy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from iecpod.commands.teardown import teardown
from iecpod.errors import CleanupError, IecpodError, PodLocked
from iecpod.files.reader import read_own
from iecpod.options.site import Site
from iecpod.outside_json import parse_json
from iecpod.pods.directory import NOTE, REPORT
from iecpod.pods.ports import NodeAccess, PodState, PodTools
from iecpod.reports.table import format_table
from iecpod.results import FAILED
from iecpod.units import format_age

_ALL_HINT = "--all takes it, too"
_OF_UNKNOWN_AGE = f"its age cannot be found out ({_ALL_HINT})"
NOT_FROM_HERE = f"not deployed from here, so it may be in use ({_ALL_HINT})"


class _Kept(IecpodError):
    """Something that was left over when it was looked at, and is not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that a run may have left. `made_at` is a Unix time, None for what has no age: it counts as old.

    `in_use`, where there is one, is the reason why it stays whatever its age. `remove` raises `IecpodError`.
    """

    name: str
    made_at: float | None
    in_use: str
    remove: Callable[[], object]


@dataclass(frozen=True, slots=True)
class GcDecision:
    """`action` is `removed`, `would remove`, `kept` or `failed`."""

    action: str
    name: str
    age: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gathered:
    decisions: tuple[GcDecision, ...]

    def to_text(self) -> str:
        if not self.decisions:
            return "nothing is left over"
        rows = [(decision.action, decision.name, decision.age, decision.reason) for decision in self.decisions]
        return format_table(("", "WHAT", "AGE", "REASON"), rows)

    def check(self) -> None:
        """Raises `CleanupError` with what could not be removed."""
        left = [f"{decision.name} ({decision.reason})" for decision in self.decisions if decision.action == "failed"]
        if left:
            raise CleanupError(left, "see to the reasons, and run gc again", "gc could not remove")


def collect_garbage(leftovers: Iterable[Leftover], *, now: float, older_than_seconds: float, dry_run: bool) -> Gathered:
    """Each is judged and removed on its own: one that cannot be removed keeps no other."""

    def judge() -> Iterator[GcDecision]:
        for leftover in leftovers:
            age_seconds = float("inf") if leftover.made_at is None else now - leftover.made_at
            is_young = age_seconds <= older_than_seconds
            action, reason = "kept", leftover.in_use or "not old enough"
            if not leftover.in_use and not is_young:
                action, reason = ("would remove", "") if dry_run else _remove(leftover)
            yield GcDecision(action, leftover.name, _age_text(age_seconds), reason)

    return Gathered(tuple(judge()))


def examine_pod(tools: PodTools, site: Site, *, everything: bool, kept_for: str = "") -> Leftover:
    """A POD at its provider, nothing being started for it. `everything` takes those that are finished, too.

    `kept_for` is a reason to keep it that the caller knows.
    """

    def judge() -> tuple[float | None, str]:
        made_at = max((*_noted_at(tools.state), *_marked_at(tools.nodes, site)), default=None)
        if everything:
            return made_at, ""
        return made_at, kept_for or _finished(tools.state) or (_OF_UNKNOWN_AGE if made_at is None else "")

    def remove() -> None:
        """A run may have come in between, and another one may come until this one has the lock."""
        with tools.state.lock():
            if judge() != (made_at, in_use):
                raise _Kept("a run was at work on it meanwhile")
            teardown(tools, site).check()

    made_at, in_use = None, ""
    try:
        with tools.state.lock():
            made_at, in_use = judge()
    except PodLocked as error:
        in_use = error.cause
    return Leftover(name=f"POD {tools.run.ref}", made_at=made_at, in_use=in_use, remove=remove)


def _finished(state: PodState) -> str:
    """Why it stays; empty only where its report says that the deploy failed, or there is none: it was killed."""
    try:
        outcome = parse_json(read_own(state.pod_dir / REPORT), ValueError).text("outcome")
    except FileNotFoundError:
        return ""
    except (IecpodError, OSError, ValueError) as error:
        return f"its report cannot be read, so it is unknown how its deploy ended ({error}; {_ALL_HINT})"
    return "" if outcome == FAILED else f"its deploy went well ({_ALL_HINT})"


def _noted_at(state: PodState) -> Iterator[float]:
    """When its last deploy began; when its directory was made, where that deploy was killed before."""
    for path in (state.pod_dir / NOTE, state.pod_dir):
        with suppress(OSError):
            yield path.stat().st_mtime
            return


def _marked_at(nodes: NodeAccess, site: Site) -> Iterator[float]:
    """When its objects were made, where the provider answers."""
    provider = nodes.provider(site)
    try:
        provider.open(start=False)
    except IecpodError:
        return
    try:
        yield from provider.made_at()
    finally:
        provider.close()


def _remove(leftover: Leftover) -> tuple[str, str]:
    try:
        leftover.remove()
    except (PodLocked, _Kept) as error:
        return "kept", error.cause
    except IecpodError as error:
        return "failed", error.cause
    return "removed", ""


def _age_text(seconds: float) -> str:
    return "unknown" if seconds == float("inf") else format_age(seconds)
