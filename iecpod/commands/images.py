"""`iecpod image`: what the cache holds, what uses it, and the removal of what is not in use."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from iecpod.cache.inventory import CacheItem
from iecpod.cache.selection import select_meant
from iecpod.commands.gc import Leftover
from iecpod.errors import HostError, PreflightError, Problem
from iecpod.reports.table import format_table
from iecpod.units import format_age, format_size, format_utc

#: As much of a digest as tables show, and the least of it that names something.
_SHOWN_CHARACTERS = 12

#: Who needs something that a run has asked for: the disks that rest on it may not be there yet.
A_RUN = "a run that is at work"


@dataclass(frozen=True, slots=True)
class UsedItem:
    """`users` are named in words."""

    item: CacheItem
    users: tuple[str, ...]

    @property
    def shown_name(self) -> str:
        return self.item.name[:_SHOWN_CHARACTERS]


def items_text(items: Sequence[UsedItem], *, now: float) -> str:
    if not items:
        return "the cache is empty"
    rows = [
        (
            used.item.kind,
            used.shown_name,
            format_size(used.item.size_bytes),
            format_age(now - used.item.made_at),
            format_age(now - used.item.used_at),
            ", ".join(used.users) or "-",
            used.item.what,
        )
        for used in items
    ]
    total = format_size(sum(used.item.size_bytes for used in items))
    table = format_table(("KIND", "NAME", "SIZE", "MADE", "USED", "NEEDED BY", "WHAT"), rows)
    return f"{table}\n{len(items)} in all, {total}"


def items_json(items: Sequence[UsedItem]) -> str:
    return json.dumps([_item_data(used) for used in items], indent=2)


def _item_data(used: UsedItem) -> dict[str, Any]:
    item = used.item
    return {
        "kind": item.kind,
        "name": item.name,
        "keys": list(item.keys),
        "path": str(item.path),
        "what": item.what,
        "facts": dict(item.facts),
        "size_bytes": item.size_bytes,
        "made_at": format_utc(item.made_at),
        "used_at": format_utc(item.used_at),
        "needed_by": list(used.users),
    }


def select_items(items: Sequence[CacheItem], names: Sequence[str]) -> list[CacheItem]:
    """What the names mean: digests, keys, or how one begins. Raises `UsageError` for all that mean nothing at once."""
    return select_meant(
        items,
        names,
        names=lambda item: (),
        ids=lambda item: (item.name, *item.keys),
        missing="there is no {} in the cache",
        remedy="`iecpod image ls` lists what there is; nothing was removed",
    )


def check_unused(items: Sequence[UsedItem]) -> None:
    """Raises `PreflightError` that names for each what needs it."""
    problems = [
        Problem(
            message=f"{used.item.kind} {used.shown_name} is needed by {', '.join(used.users)}",
            remedy="tear that down, or wait for it to end; where it cannot be looked at, see to the reason first",
        )
        for used in items
        if used.users
    ]
    if problems:
        raise PreflightError(problems, "nothing was removed")


def leftover_of(used: UsedItem, remove: Callable[[CacheItem], None]) -> Leftover:
    """For `collect_garbage`: as old as its last use."""
    item = used.item
    return Leftover(
        name=f"{item.kind} {used.shown_name} ({format_size(item.size_bytes)}; {item.what})",
        made_at=item.used_at,
        in_use=f"needed by {', '.join(used.users)}" if used.users else "",
        remove=functools.partial(_remove, remove, item),
    )


def _remove(remove: Callable[[CacheItem], None], item: CacheItem) -> None:
    try:
        remove(item)
    except OSError as error:
        raise HostError(
            f"{error.filename or item.path}: {error.strerror}", "check the owner and the permissions there"
        ) from error
