"""The verbs about checkpoints: of one POD (save, restore), and of all (ls, show, verify, rm, gc)."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from iecpod.checkpoints.checkpoint_store import CheckpointStore, Kept
from iecpod.commands.checkpoint.listing import ShownCheckpoint
from iecpod.commands.checkpoint.restore import find_problems, restore_checkpoint
from iecpod.commands.checkpoint.save import SavedCheckpoint, save_checkpoint
from iecpod.commands.gc import Gathered, GcDecision, Leftover, collect_garbage
from iecpod.commands.images import A_RUN
from iecpod.errors import HostError, PreflightError, Problem
from iecpod.layout import Layout
from iecpod.pods.checkpoint_choice import choose_checkpoint, select_kept
from iecpod.pods.installation import ensure_installation
from iecpod.pods.request import PodRequest
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.progress.event_lines import Run
from iecpod.reports.job_files import RunOutputs, saved_reports
from iecpod.reports.run_report import Report
from iecpod.units import format_age, format_size
from iecpod.wiring.image_cache import ImageCache
from iecpod.wiring.pods import report_saver
from iecpod.wiring.run_of_pod import new_run_id
from iecpod.wiring.session import Session
from iecpod.wiring.sources import GivenSources


class PodCheckpoints:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.layout = session.layout

    def save(self, request: PodRequest, name: str, events: Path | None) -> SavedCheckpoint:
        run = Run(new_run_id(), "checkpoint save", request.ref)
        with self._session.pod(request, run, events, locked=True) as (inputs, tools):
            installation = ensure_installation(self.layout.state_dir)
            return save_checkpoint(inputs, tools, CheckpointStore(self.layout.cache_dir), installation, name)

    def restore(self, request: PodRequest, name: str | None, outputs: RunOutputs, *, may_replace: bool) -> Report:
        """By the options that the POD was deployed with when it was saved."""
        run = Run(new_run_id(), "checkpoint restore", request.ref)
        with (
            saved_reports(outputs, run.ref, run.run_id) as save,
            self._session.reporter(run, outputs.events) as reporter,
        ):
            store = CheckpointStore(self.layout.cache_dir)
            checkpoint = choose_checkpoint(store, request.ref, name)
            saved = _saved(checkpoint.options, checkpoint.id)
            tools, sources = self._session.tools(request, reporter, run.run_id), GivenSources(self.layout, reporter)
            inputs = resolve_request(sources.take_in(request, saved.options), self.layout, saved)
            with tools.state.lock(), inputs.loaded.explained_errors():
                sources.check(inputs)
                save_report = report_saver(inputs, tools, save)
                return restore_checkpoint(inputs, tools, store, checkpoint, save_report, may_replace=may_replace)


class CheckpointKeeping:
    """Checkpoints of all PODs; nothing of a POD is touched."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._store = CheckpointStore(layout.cache_dir)

    def shown(self, names: Sequence[str] = ()) -> list[ShownCheckpoint]:
        """All of them, or those that the names mean. Raises `UsageError`."""
        kept = self._store.find_all()
        chosen = select_kept(kept, names) if names else kept
        owners = Counter(layer.name for one in kept if one.checkpoint for layer in one.checkpoint.layers)
        layers = {one.id: self._layers(one) for one in chosen}
        users = ImageCache(self._layout).users_of([path for paths in layers.values() for path in paths])
        return [
            ShownCheckpoint(
                kept=one,
                size_bytes=self._store.size_bytes(one),
                shared_bytes=sum(path.stat().st_size for path in layers[one.id] if owners[path.name] > 1),
                used_at=self._store.used_at(one),
                users=tuple(
                    dict.fromkeys(
                        (
                            *(user for path in layers[one.id] for user in users[path]),
                            *((A_RUN,) if self._store.is_held(one.id) else ()),
                        )
                    )
                ),
            )
            for one in chosen
        ]

    def verify(self, names: Sequence[str], notify: Callable[[str], None]) -> list[str]:
        """Hashes every file of them, of all where no names are given; ids of those that are whole.

        Raises `PreflightError` with everything that is damaged.
        """
        kept = self._store.find_all()
        whole: list[str] = []
        problems: list[Problem] = []
        for one in select_kept(kept, names) if names else kept:
            found = self._problems(one, notify)
            problems += found
            whole += [] if found else [one.id]
        if problems:
            raise PreflightError(problems, f"{len(problems)} files of checkpoints are damaged or missing")
        return whole

    def remove(self, names: Sequence[str], *, dry_run: bool) -> Gathered:
        """With the layers that nothing rests on; others stay until it does not any more."""
        return self._collect(select_kept(self._store.find_all(), names), dry_run)

    def collect(
        self, *, older_than_seconds: float, max_size_bytes: int | None, everything: bool, dry_run: bool
    ) -> Gathered:
        """Removes what was used longer ago, and then what was used longest ago until the rest is small enough.

        States of users, which have a name, go only with `everything`.
        """
        kept = sorted(self._store.find_all(), key=self._store.used_at)
        ages = {one.id: time.time() - self._store.used_at(one) for one in kept}
        removable = {one.id for one in kept if everything or one.checkpoint is None or not one.checkpoint.name}
        chosen = {one.id for one in kept if one.id in removable and ages[one.id] > older_than_seconds}
        if max_size_bytes is not None:
            sizes = {one.id: self._store.size_bytes(one) for one in kept}
            total = sum(size for checkpoint_id, size in sizes.items() if checkpoint_id not in chosen)
            for one in kept:
                if total > max_size_bytes and one.id in removable - chosen:
                    chosen.add(one.id)
                    total -= sizes[one.id]
        gathered = self._collect([one for one in kept if one.id in chosen], dry_run)
        stays = [self._decision(one, ages[one.id], one.id in removable) for one in kept if one.id not in chosen]
        return Gathered((*stays, *gathered.decisions))

    def _decision(self, kept: Kept, age_seconds: float, is_removable: bool) -> GcDecision:
        reason = "not old enough" if is_removable else "a state of its user's own (--all takes it, too)"
        return GcDecision("kept", self._described(kept), format_age(age_seconds), reason)

    def _described(self, kept: Kept) -> str:
        size = format_size(self._store.size_bytes(kept))
        if kept.checkpoint is None:
            return f"checkpoint {kept.id} (damaged, {size})"
        return f"checkpoint {kept.checkpoint.name or kept.id} ({kept.checkpoint.ref}, {size})"

    def _problems(self, kept: Kept, notify: Callable[[str], None]) -> Sequence[Problem]:
        if kept.checkpoint is None:
            return [Problem(file=str(kept.path), message=kept.why, remedy="remove it", rule="checkpoint-damaged")]
        self._store.hold(kept.id, notify)
        return find_problems(self._store, kept.checkpoint, thorough=True, notify=notify)

    def _collect(self, kept: Sequence[Kept], dry_run: bool) -> Gathered:
        """Whatever their age: they were chosen."""
        gathered = collect_garbage(
            self._leftovers(kept), now=time.time(), older_than_seconds=float("-inf"), dry_run=dry_run
        )
        if not dry_run:
            self._remove_free_layers()
        return gathered

    def _leftovers(self, kept: Sequence[Kept]) -> Iterator[Leftover]:
        """Each is locked for as long as it is judged and removed."""
        for one in kept:
            with self._store.alone(one.id) as is_alone:
                yield Leftover(
                    name=self._described(one),
                    made_at=self._store.used_at(one),
                    in_use="" if is_alone else f"needed by {A_RUN}",
                    remove=functools.partial(_explained, self._store.remove, one.id),
                )

    def _remove_free_layers(self) -> None:
        with self._store.alone_with_layers() as is_alone:
            free = self._store.free_layers() if is_alone else []
            users = ImageCache(self._layout).users_of(free) if free else {}
            for layer in free:
                if not users[layer]:
                    with contextlib.suppress(OSError):
                        layer.unlink()

    def _layers(self, kept: Kept) -> list[Path]:
        named = kept.checkpoint.layers if kept.checkpoint else ()
        return [path for path in (self._store.layer(layer.name) for layer in named) if path.is_file()]


def _explained(remove: Callable[[str], None], checkpoint_id: str) -> None:
    try:
        remove(checkpoint_id)
    except OSError as error:
        raise HostError(
            f"{error.filename or checkpoint_id}: {error.strerror}", "check the owner and the permissions there"
        ) from error


def _saved(options: str, checkpoint_id: str) -> SavedPod:
    try:
        return SavedPod.from_json(options)
    except ValueError as error:
        raise HostError(
            f"checkpoint {checkpoint_id} does not say what its POD was deployed with: {error}",
            "it was saved by another version of iecpod; deploy the POD, and save another one",
        ) from error
