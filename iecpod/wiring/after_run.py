"""Wires what comes after a run: its logs, and what aborted runs left."""

from __future__ import annotations

import contextlib
import datetime
import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import iecpod
from iecpod.adapters.log_archive import new_archive
from iecpod.adapters.pod_lock import pod_lock
from iecpod.cache.work_directory import find_abandoned, remove_abandoned
from iecpod.checkpoints.checkpoint_store import checkpoints_dir
from iecpod.commands.gc import NOT_FROM_HERE, Gathered, Leftover, collect_garbage, examine_pod
from iecpod.commands.logs import LogRequest, collect_logs
from iecpod.descriptors.pod_files import load_descriptors
from iecpod.design.owner import Owner
from iecpod.errors import HostError, IecpodError
from iecpod.hypervisor_uri import EMBEDDED, HypervisorUri
from iecpod.images.build.go.work_directory import find_abandoned_work, remove_abandoned_work
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.options.choices import ProviderName
from iecpod.options.site import Site
from iecpod.pods.choose_options import choose_options
from iecpod.pods.directory import check_pod_dir, find_noted_pods
from iecpod.pods.installation import find_installation
from iecpod.pods.request import PodRequest
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.ports import Reporter
from iecpod.progress.reporters import make_reporter
from iecpod.providers.libvirt.connection.marks import find_marked_pods
from iecpod.providers.libvirt.embedded.stale_hypervisors import find_orphans
from iecpod.units import format_utc
from iecpod.wiring.bootstrap import described_base, find_described, remove_described
from iecpod.wiring.checkpoints import CheckpointKeeping
from iecpod.wiring.pod_tools import PodAdapters


class AfterRun:
    """Runs these commands with everything they need, for the command line."""

    def __init__(self, layout: Layout, *, environ: Mapping[str, str], is_terminal: bool) -> None:
        self._layout = layout
        self._environ = environ
        self._is_terminal = is_terminal

    def logs(self, request: PodRequest, path: Path | None, *, outcome: str = "", nodes_left_out: str = "") -> Path:
        """Collects the POD's logs into `path`, or a file of its own name in the working directory.

        `outcome` says how the run ended that this belongs to. Raises `UsageError` where nothing can be written.
        """
        with make_reporter(self._environ, is_terminal=self._is_terminal) as reporter:
            now = datetime.datetime.now(datetime.timezone.utc)
            top = f"{request.ref.lab}-{request.ref.pod}-{now.strftime('%Y%m%dT%H%M%SZ')}"
            target = path or Path(f"{top}.tar.gz")
            tools = PodAdapters(self._layout, request.ref, reporter, "")
            log_request = self._log_request(request, tools, outcome, nodes_left_out)
            with new_archive(target, top) as archive:
                collect_logs(log_request, tools, archive)
            return target

    def gc(
        self,
        *,
        older_than_seconds: float,
        connect: HypervisorUri | None,
        everything: bool,
        dry_run: bool,
        max_size_bytes: int | None = None,
    ) -> Gathered:
        """Looks at the PODs deployed from here; with `connect` at those of that hypervisor, from wherever they are.

        Without it at checkpoints, too, of which `max_size_bytes` are kept.
        """
        with make_reporter(self._environ, is_terminal=self._is_terminal) as reporter:
            leftovers = [
                *self._noted_pods(reporter, connect, everything),
                *(self._described() if connect is None else ()),
                *self._unknown_pods(reporter, connect, everything),
                *(self._abandoned(everything) if connect in (None, EMBEDDED) else ()),
            ]
            now = datetime.datetime.now(datetime.timezone.utc).timestamp()
            gathered = collect_garbage(leftovers, now=now, older_than_seconds=older_than_seconds, dry_run=dry_run)
            if connect is not None:
                return gathered
            checkpoints = CheckpointKeeping(self._layout).collect(
                older_than_seconds=older_than_seconds,
                max_size_bytes=max_size_bytes,
                everything=everything,
                dry_run=dry_run,
            )
            return Gathered((*gathered.decisions, *checkpoints.decisions))

    def _noted_pods(self, reporter: Reporter, connect: HypervisorUri | None, everything: bool) -> Iterator[Leftover]:
        for ref in find_noted_pods(self._layout):
            tools = PodAdapters(self._layout, ref, reporter, "")
            try:
                check_pod_dir(self._layout, ref)
                # Where no hypervisor is noted yet, the deploy was killed before it made anything on one.
                site = tools.state.saved().options.site or Site(ProviderName.LIBVIRT, EMBEDDED)
            except IecpodError as error:
                yield Leftover(name=f"POD {ref}", made_at=None, in_use=error.cause, remove=lambda: None)
                continue
            if connect in (None, site.uri):
                yield self._with_descriptors(ref, examine_pod(tools, site, everything=everything))

    def _with_descriptors(self, ref: PodRef, leftover: Leftover) -> Leftover:
        """What `bootstrap` wrote goes with the POD, and not before it."""

        def remove() -> None:
            leftover.remove()
            remove_described(self._layout, ref)

        return replace(leftover, remove=remove)

    def _described(self) -> Iterator[Leftover]:
        """Descriptors that a killed bootstrap or teardown left: their POD is not there."""
        noted = set(find_noted_pods(self._layout))
        for ref in find_described(self._layout):
            if ref not in noted:
                base = described_base(self._layout, ref)
                remove = functools.partial(self._remove_described, ref)
                yield Leftover(name=f"descriptors {base}", made_at=base.stat().st_mtime, in_use="", remove=remove)

    def _remove_described(self, ref: PodRef) -> None:
        """Not from under a bootstrap that has started meanwhile. Raises `PodLocked`."""
        with pod_lock(self._layout, ref, wait_seconds=0.0):
            if ref not in find_noted_pods(self._layout):
                remove_described(self._layout, ref)

    def _unknown_pods(self, reporter: Reporter, connect: HypervisorUri | None, everything: bool) -> Iterator[Leftover]:
        """PODs whose objects are on a hypervisor, not deployed from here; copies of such have no owner."""
        if connect in (None, EMBEDDED):
            return
        noted = set(find_noted_pods(self._layout))
        for ref, installation in sorted(find_marked_pods(connect)):
            if ref in noted:
                continue
            tools = PodAdapters(self._layout, ref, reporter, "", owner=Owner(ref=ref, installation=installation))
            yield examine_pod(tools, Site(ProviderName.LIBVIRT, connect), everything=everything, kept_for=NOT_FROM_HERE)

    def _abandoned(self, everything: bool) -> Iterator[Leftover]:
        installation = find_installation(self._layout.state_dir)
        for orphan in find_orphans():
            kept_for = "" if everything or orphan.is_of(installation, self._layout.state_dir) else NOT_FROM_HERE
            remove = orphan.remove
            yield Leftover(name=f"namespace {orphan.name}", made_at=orphan.newest_at, in_use=kept_for, remove=remove)
        cache_dir = self._layout.cache_dir
        for stage in (*find_abandoned(cache_dir), *find_abandoned(checkpoints_dir(cache_dir))):
            remove = functools.partial(_remove_stage, stage)
            yield Leftover(name=f"directory {stage}", made_at=stage.stat().st_mtime, in_use="", remove=remove)
        work = find_abandoned_work(cache_dir)
        if work is not None:
            in_use = "a build is at work there" if work.is_in_use else ""
            remove = functools.partial(_remove_go_work, cache_dir)
            yield Leftover(name=f"directory {work.path}", made_at=work.changed_at, in_use=in_use, remove=remove)

    def _log_request(self, request: PodRequest, tools: PodAdapters, outcome: str, nodes_left_out: str) -> LogRequest:
        known = SavedPod()
        inputs: PodInputs | None = None
        not_valid = ""
        try:
            known = tools.state.saved()
            inputs = resolve_request(request, self._layout, known)
        except IecpodError as error:
            not_valid = error.cause
        chosen = choose_options(request, self._layout, known.options)
        base_uri = chosen.base_uri or str(self._layout.pdf_dir)
        events = self._environ.get("IECPOD_EVENTS")
        now = format_utc(time.time())
        heading = f"iecpod {iecpod.__version__}: logs of POD {request.ref}, {now}"
        return LogRequest(
            heading=heading + (f"\n{outcome}" if outcome else ""),
            read=load_descriptors(base_uri, request.ref),
            inputs=inputs,
            not_valid=not_valid,
            site=inputs.order.site if inputs else chosen.site,
            log_file=self._layout.state_dir / "log" / "iecpod.log",
            events_file=Path(events) if events else None,
            nodes_left_out=nodes_left_out,
        )


def _remove_stage(stage: Path) -> None:
    with _explained():
        remove_abandoned(stage)


def _remove_go_work(cache_dir: Path) -> None:
    with _explained():
        remove_abandoned_work(cache_dir)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostError(f"{error.filename}: {error.strerror}", "check the owner and the permissions there") from error
