"""The composition root of `iecpod image ls` and `image rm`: the cache, and everybody who may need something of it."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from pathlib import Path

from iecpod.adapters.image_users import find_users, system_uris
from iecpod.adapters.orphans import find_embedded_pods
from iecpod.commands.gc import Gathered, collect_garbage
from iecpod.commands.images import A_RUN, UsedItem, check_unused, leftover_of, pod_names, select_items
from iecpod.commands.pod_state import find_noted_pods, pod_dir_of, recall
from iecpod.commands.request import EMBEDDED
from iecpod.errors import IecpodError
from iecpod.images.files import explain_os_error
from iecpod.images.inventory import CacheItem, find_items, remove_item
from iecpod.images.lease import alone, is_held
from iecpod.images.pod_notes import noted_pod_dirs
from iecpod.layout import Layout


class CacheKeeping:
    """Runs these commands with everything they need, for the command line."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._cache_dir = layout.cache_dir

    def items(self) -> list[UsedItem]:
        """Looks, and makes nothing."""
        items = find_items(self._cache_dir)
        held = {item.path for item in items if is_held(self._cache_dir, item.lease)}
        return self._used(items, held)

    def remove(self, names: Sequence[str], *, dry_run: bool) -> Gathered:
        """All of them or none. Raises `UsageError` for unknown names, `PreflightError` for what somebody needs."""
        chosen = select_items(find_items(self._cache_dir), names)
        return self._remove(chosen, older_than_seconds=float("-inf"), dry_run=dry_run, all_or_none=True)

    def remove_unused(self, *, parts: bool, older_than_seconds: float, dry_run: bool) -> Gathered:
        """Images that nobody needs; with `parts` also what images are made of."""
        chosen = [item for item in find_items(self._cache_dir) if item.is_image or parts]
        return self._remove(chosen, older_than_seconds=older_than_seconds, dry_run=dry_run, all_or_none=False)

    def _remove(
        self, chosen: Sequence[CacheItem], *, older_than_seconds: float, dry_run: bool, all_or_none: bool
    ) -> Gathered:
        """Leases first, then the look: whoever asked before has made its disks, and whoever asks now waits."""
        with explain_os_error("removing from the cache"), contextlib.ExitStack() as stack:
            held = {item.path for item in chosen if not stack.enter_context(alone(self._cache_dir, item.lease))}
            used = self._used(chosen, held)
            if all_or_none:
                check_unused(used)
            remove = functools.partial(remove_item, self._cache_dir)
            return collect_garbage(
                [leftover_of(one, remove) for one in used],
                now=time.time(),
                older_than_seconds=older_than_seconds,
                dry_run=dry_run,
            )

    def _used(self, items: Sequence[CacheItem], held: set[Path]) -> list[UsedItem]:
        images = [item.path for item in items if item.is_image]
        users = find_users(images, self._pods(), (*system_uris(), *self._noted_uris())) if images else {}
        return [UsedItem(item, (*users.get(item.path, ()), *((A_RUN,) if item.path in held else ()))) for item in items]

    def _pods(self) -> dict[Path, str]:
        noted = [pod_dir_of(self._layout, ref) for ref in find_noted_pods(self._layout)]
        pod_dirs = dict.fromkeys([*noted, *noted_pod_dirs(self._cache_dir), *find_embedded_pods()])
        return pod_names(list(pod_dirs), self._layout.state_dir)

    def _noted_uris(self) -> list[str]:
        """Of PODs whose note cannot be read, the disks are looked at anyway."""
        uris = []
        for ref in find_noted_pods(self._layout):
            with contextlib.suppress(IecpodError):
                uris.append(recall(pod_dir_of(self._layout, ref)).uri)
        return [uri for uri in uris if uri not in (None, EMBEDDED)]
