"""Wires `iecpod image ls` and `image rm`: the cache, and everybody who may need something of it."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from pathlib import Path

from iecpod.cache.hashed_files import explain_os_error
from iecpod.cache.inventory import CacheItem, find_items, remove_item
from iecpod.cache.lease import alone, is_held
from iecpod.cache.pod_notes import noted_pod_dirs
from iecpod.checkpoints.checkpoint_store import MANIFEST, CheckpointStore
from iecpod.commands.gc import Gathered, collect_garbage
from iecpod.commands.images import A_RUN, UsedItem, check_unused, leftover_of, select_items
from iecpod.errors import IecpodError
from iecpod.hypervisor_uri import EMBEDDED, HypervisorUri
from iecpod.layout import Layout
from iecpod.pods.directory import NOTE, find_noted_pods, load_saved, pod_dir_of
from iecpod.providers.libvirt.embedded.stale_hypervisors import find_embedded_pods
from iecpod.wiring.cache_users import KnownPod, find_users, system_uris


class ImageCache:
    """Runs these commands with everything they need, for the command line."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._cache_dir = layout.cache_dir

    def items(self) -> list[UsedItem]:
        """Looks, and makes nothing."""
        with explain_os_error("looking at the cache"):
            items = find_items(self._cache_dir)
            held = {item.path for item in items if is_held(self._cache_dir, item.lease)}
            return self._used(items, held)

    def remove(self, names: Sequence[str], *, dry_run: bool) -> Gathered:
        """All of them or none. Raises `UsageError` for unknown names, `PreflightError` for what is in use."""
        chosen = select_items(find_items(self._cache_dir), names)
        return self._remove(chosen, older_than_seconds=float("-inf"), dry_run=dry_run, all_or_none=True)

    def remove_unused(self, *, parts: bool, older_than_seconds: float, dry_run: bool) -> Gathered:
        """Images that are not in use; with `parts` also what images are made of."""
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

    def users_of(self, paths: Sequence[Path]) -> dict[Path, tuple[str, ...]]:
        """PODs, domains and processes that need files of the cache, in words; checkpoints are left out."""
        return find_users(paths, self._pods(), self._uris())

    def _used(self, items: Sequence[CacheItem], held: set[Path]) -> list[UsedItem]:
        users = find_users([item.path for item in items], (*self._pods(), *self._checkpoints()), self._uris())
        return [UsedItem(item, (*users[item.path], *((A_RUN,) if item.path in held else ()))) for item in items]

    def _uris(self) -> tuple[HypervisorUri, ...]:
        return (*system_uris(), *self._noted_uris())

    def _checkpoints(self) -> list[KnownPod]:
        """Their disks rest on images, and their manifests name those."""
        return [
            KnownPod(f"checkpoint {kept.id}", kept.path, kept.path / MANIFEST)
            for kept in CheckpointStore(self._cache_dir).find_all()
        ]

    def _pods(self) -> list[KnownPod]:
        noted = [pod_dir_of(self._layout, ref) for ref in find_noted_pods(self._layout)]
        pod_dirs = dict.fromkeys([*noted, *noted_pod_dirs(self._cache_dir), *find_embedded_pods()])
        return [KnownPod(self._pod_name(pod_dir), pod_dir, pod_dir / NOTE) for pod_dir in pod_dirs]

    def _pod_name(self, pod_dir: Path) -> str:
        """One whose state is elsewhere is shown with the place."""
        name = f"POD {pod_dir.parent.name}/{pod_dir.name}"
        return name if pod_dir.is_relative_to(self._layout.state_dir) else f"{name} (its state is in {pod_dir})"

    def _noted_uris(self) -> list[HypervisorUri]:
        """Of PODs whose note cannot be read, the disks are looked at anyway."""
        uris = []
        for ref in find_noted_pods(self._layout):
            with contextlib.suppress(IecpodError):
                uris.append(load_saved(pod_dir_of(self._layout, ref)).options.uri)
        return [uri for uri in uris if uri is not None and uri != EMBEDDED]
