"""What every verb begins with: reporter, tools, and the POD as it was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from iecpod.adapters.event_lines import Run
from iecpod.adapters.reporters import make_reporter
from iecpod.commands.request import PodRequest
from iecpod.commands.resolve import PodInputs, resolve_request
from iecpod.layout import Layout
from iecpod.ports import Reporter
from iecpod.wiring.pod_tools import PodAdapters
from iecpod.wiring.sources import GivenSources


class Session:
    """One call of the command line: where data lie, and to whom progress is reported."""

    def __init__(self, layout: Layout, *, environ: Mapping[str, str], is_terminal: bool) -> None:
        self.layout = layout
        self._environ = environ
        self._is_terminal = is_terminal

    @contextmanager
    def reporter(self, run: Run | None = None, events: Path | None = None) -> Iterator[Reporter]:
        logged = (events, run) if events and run else None
        with make_reporter(self._environ, is_terminal=self._is_terminal, events=logged) as reporter:
            yield reporter

    def tools(self, request: PodRequest, reporter: Reporter, run_id: str = "") -> PodAdapters:
        apt_mirror = request.supply.apt_mirror if request.supply else ""
        return PodAdapters(
            *(self.layout, request.ref, reporter, apt_mirror, run_id),
            lock_seconds=request.lock_seconds,
            login=request.login,
        )

    @contextmanager
    def pod(
        self,
        request: PodRequest,
        run: Run | None = None,
        events: Path | None = None,
        *,
        tell_warnings: bool = False,
    ) -> Iterator[tuple[PodInputs, PodAdapters]]:
        """`tell_warnings` is for verbs that judge descriptors; those of a POD that lives would tell them every time."""
        with self.reporter(run, events) as reporter:
            run_id = run.run_id if run else ""
            tools, sources = self.tools(request, reporter, run_id), GivenSources(self.layout, reporter)
            recalled = tools.recall()
            request = sources.take_in(request, recalled)
            if tell_warnings:
                request = sources.with_default_software(request, recalled)
            inputs = resolve_request(request, self.layout, recalled)
            with tools.lock() if run else nullcontext():
                if tools.recall() != recalled:  # by a run that was waited for
                    inputs = resolve_request(request, self.layout, tools.recall())
                if tell_warnings:
                    sources.check(inputs)
                for warning in inputs.loaded.warnings if tell_warnings else ():
                    reporter.warn(str(warning))
                with inputs.loaded.explained_errors():
                    yield inputs, tools
