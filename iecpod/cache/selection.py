"""What people mean by the names that they type: a whole name, or how an id begins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from iecpod.errors import UsageError

_LEAST_CHARACTERS = 4

T = TypeVar("T")


def find_meant(
    items: Sequence[T], name: str, *, names: Callable[[T], Collection[str]], ids: Callable[[T], Sequence[str]]
) -> list[T]:
    """Those that are called so; else those with an id that begins so, of which four characters are needed."""
    return [item for item in items if name in (*names(item), *ids(item))] or [
        item for item in items if len(name) >= _LEAST_CHARACTERS and any(known.startswith(name) for known in ids(item))
    ]


def select_meant(
    items: Sequence[T],
    wanted: Sequence[str],
    *,
    names: Callable[[T], Collection[str]],
    ids: Callable[[T], Sequence[str]],
    missing: str,
    remedy: str,
) -> list[T]:
    """One item for each name, none twice; the first id of an item is how messages call it.

    `missing` has a place for the name. Raises `UsageError` for all names at once that mean nothing, or several items.
    """
    selected: list[T] = []
    wrong: list[str] = []
    for name in wanted:
        found = find_meant(items, name, names=names, ids=ids)
        if not found:
            wrong.append(missing.format(repr(name)))
        elif len(found) > 1:
            wrong.append(f"{name!r} may be {' or '.join(ids(item)[0] for item in found)}")
        else:
            selected.append(found[0])
    if wrong:
        raise UsageError("; ".join(wrong), remedy)
    return list({id(item): item for item in selected}.values())
