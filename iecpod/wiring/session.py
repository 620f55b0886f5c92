"""What every verb begins with: reporter, tools, and the POD as it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from iecpod.layout import Layout
from iecpod.pods.request import PodRequest
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.ports import Reporter
from iecpod.progress.event_lines import Run
from iecpod.progress.reporters import make_reporter
from iecpod.wiring.pod_tools import PodAdapters
from iecpod.wiring.sources import GivenSources


class Session:
    """One call of the command line: where data are, and to whom progress is reported."""

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
        supply = request.options.supply
        return PodAdapters(
            *(self.layout, request.ref, reporter, supply.apt_mirror if supply else "", run_id),
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
        locked: bool,
        report_warnings: bool = False,
        describe: Callable[[PodAdapters], AbstractContextManager[PodRequest]] | None = None,
    ) -> Iterator[tuple[PodInputs, PodAdapters]]:
        """The POD as it was asked for; with `locked` no other run changes it meanwhile, nor what is saved of it.

        `report_warnings` is for verbs that judge descriptors; those of a POD that lives would repeat them. `describe`
        makes the descriptors under the lock, for the time of the block.
        """
        with self.reporter(run, events) as reporter:
            run_id = run.run_id if run else ""
            tools, sources = self.tools(request, reporter, run_id), GivenSources(self.layout, reporter)
            with (
                tools.state.lock() if locked else nullcontext(),
                describe(tools) if describe else nullcontext(request) as request,
            ):
                saved = tools.state.saved()
                request = sources.take_in(request, saved.options)
                if report_warnings:
                    request = sources.with_default_software(request, saved.options)
                inputs = resolve_request(request, self.layout, saved)
                if report_warnings:
                    sources.check(inputs)
                for warning in inputs.loaded.warnings if report_warnings else ():
                    reporter.warn(str(warning))
                with inputs.loaded.explained_errors():
                    yield inputs, tools
