"""Waits for what objects of a cluster say: asked again when the API server reports a change of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from typing import TypeVar

from iecpod.deploy.kubectl.kubectl import Kubectl, api_awaited
from iecpod.deploy.waiting.waits import Waits

T = TypeVar("T")

#: Between probes: where changes are reported, which may be lost, and where they are not.
_WATCHED_SECONDS, _POLLED_SECONDS = 5.0, 1.0


def wait_for_objects(
    awaited: str,
    probe: Callable[[Kubectl], T],
    kubectl: Kubectl,
    paths: Sequence[str],
    waits: Waits,
    *,
    seconds: float,
    console_of: str,
    remedy: str,
) -> T:
    """See `Waits.wait_for`. `probe` asks for objects of the lists at `paths`; an API server may not answer yet."""

    def ask() -> T:
        with api_awaited():
            return probe(kubectl)

    watch = kubectl.watch(paths)
    with closing(watch) if watch else nullcontext():
        return waits.wait_for(
            awaited,
            ask,
            seconds=seconds,
            console_of=console_of,
            remedy=remedy,
            interval_seconds=_WATCHED_SECONDS if watch else _POLLED_SECONDS,
            is_due=watch.has_changed if watch else lambda: False,
        )
