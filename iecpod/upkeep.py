"""The composition root of what comes after a run: its logs, and what aborted runs left."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import iecpod
from iecpod.adapters.log_archive import new_archive
from iecpod.adapters.reporters import make_reporter
from iecpod.commands.logs import LogRequest, collect_logs
from iecpod.commands.request import PodRequest, lab_defaults
from iecpod.commands.resolve import PodInputs, resolve_request
from iecpod.composition import PodAdapters
from iecpod.descriptors.source import load_descriptors
from iecpod.errors import IecpodError
from iecpod.layout import Layout


class Upkeep:
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

    def _log_request(self, request: PodRequest, tools: PodAdapters, outcome: str, nodes_left_out: str) -> LogRequest:
        known = tools.recall()
        inputs: PodInputs | None = None
        not_valid = ""
        try:
            inputs = resolve_request(request, self._layout, known)
        except IecpodError as error:
            not_valid = error.cause
        uri = request.connect or known.uri or lab_defaults(request.ref.lab).connect
        events = self._environ.get("IECPOD_EVENTS")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        heading = f"iecpod {iecpod.__version__}: logs of POD {request.ref}, {now}"
        return LogRequest(
            heading=heading + (f"\n{outcome}" if outcome else ""),
            read=load_descriptors(request.base_uri, request.ref),
            inputs=inputs,
            not_valid=not_valid,
            uri=inputs.uri if inputs else uri,
            log_file=self._layout.state_dir / "log" / "iecpod.log",
            events_file=Path(events) if events else None,
            nodes_left_out=nodes_left_out,
        )
