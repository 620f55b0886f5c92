"""The verbs about a POD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.adapters.event_lines import Run
from iecpod.commands import deploy, plan, redeploy, status, teardown
from iecpod.commands.conformance import run_conformance
from iecpod.commands.conformance_report import ConformanceReport
from iecpod.commands.conformance_run import ConformanceOrder
from iecpod.commands.exports import write_exports
from iecpod.commands.outputs import RunOutputs, saved_reports
from iecpod.commands.report import Report
from iecpod.commands.request import PodRequest, lab_defaults
from iecpod.commands.resolve import PodInputs, resolve_request
from iecpod.commands.saved_pod import SavedPod
from iecpod.commands.tools import PodTools
from iecpod.design.machines import ProviderName, Site
from iecpod.errors import IecpodError, PreflightError
from iecpod.file_writer import READABLE, replace_file
from iecpod.provider import Removed
from iecpod.results import FAILED
from iecpod.wiring.access import exported
from iecpod.wiring.conformance_bench import ConformanceBench
from iecpod.wiring.described import ensure_described, remove_described
from iecpod.wiring.pod_tools import PodAdapters
from iecpod.wiring.run_of_pod import new_run_id
from iecpod.wiring.session import Session

BuildCommand = Callable[[PodInputs, PodTools, Callable[[Report], None]], Report]


class Pods:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.layout = session.layout

    def deploy(self, request: PodRequest, outputs: RunOutputs) -> Report:
        return self._build(deploy.deploy, "deploy", request, outputs)

    def redeploy(self, request: PodRequest, outputs: RunOutputs, *, only_changed: bool = False) -> Report:
        build = redeploy.redeploy_changed if only_changed else redeploy.redeploy
        return self._build(build, "redeploy", request, outputs)

    def bootstrap(self, request: PodRequest, addresses: Sequence[IPv4Address], outputs: RunOutputs) -> Report:
        """Describes machines as a POD, unless it is there, and deploys that. One that is refused leaves no trace."""
        with self._session.reporter() as reporter:
            tools = self._session.tools(request, reporter)
            is_new = not tools.state.pod_dir.exists()
            try:
                with tools.state.lock():
                    base = ensure_described(tools, self.layout, request, addresses)
                return self.deploy(_with_base(request, base), outputs)
            except IecpodError:
                if is_new and not tools.state.saved().is_noted:
                    tools.state.remove_pod_dir()
                    remove_described(self.layout, request.ref)
                raise

    def _build(self, build: BuildCommand, verb: str, request: PodRequest, outputs: RunOutputs) -> Report:
        run = Run(new_run_id(), verb, request.ref)
        with (
            saved_reports(outputs, run.ref, run.run_id) as save,
            self._session.pod(request, run, outputs.events, locked=True, tell_warnings=True) as (inputs, tools),
        ):

            def save_report(report: Report) -> None:
                shown = report.rewritten(inputs.loaded.secrets.hide)
                replace_file(tools.state.pod_dir / "report.json", shown.to_json(), READABLE)
                save(shown)
                if report.outcome != FAILED:
                    write_exports(exported(inputs, tools))

            return build(inputs, tools, save_report)

    def plan(self, request: PodRequest, show: Callable[[str], None]) -> bool:
        """Whether there is anything to change. Raises `PreflightError` as a deploy would, once the plan is shown."""
        with self._session.pod(request, locked=True, tell_warnings=True) as (inputs, tools):
            result = plan.make_pod_plan(inputs, tools)
            show(plan.plan_text(inputs, result))
            if result.problems:
                raise PreflightError(result.problems, f"POD {request.ref} cannot be deployed here")
            return bool(result.planned.plan.pending)

    def status(self, request: PodRequest) -> status.PodStatus:
        with self._session.pod(request, locked=False) as (inputs, tools):
            return status.observe_status(inputs, tools)

    def teardown(self, request: PodRequest, events: Path | None) -> Removed:
        """Works by the POD's name alone where it was deployed from here, whatever became of its descriptors."""
        with self._session.reporter(Run(new_run_id(), "teardown", request.ref), events) as reporter:
            tools = self._session.tools(request, reporter)
            with tools.state.lock():  # what is saved is what the run that held it has left
                removed = teardown.teardown(tools, self._teardown_site(request, tools))
                if not tools.state.pod_dir.exists():
                    remove_described(self.layout, request.ref)
                return removed

    def conformance(self, request: PodRequest, order: ConformanceOrder, events: Path | None) -> ConformanceReport:
        run = Run(new_run_id(), "conformance", request.ref)
        with self._session.pod(request, run, events, locked=True) as (inputs, tools):
            return run_conformance(inputs, tools, ConformanceBench(self.layout, tools.run.reporter), order)

    def _teardown_site(self, request: PodRequest, tools: PodAdapters) -> Site:
        given, saved = request.options, tools.state.saved().options.site
        if given.provider is ProviderName.EXISTING:
            return Site(given.provider)
        if saved is not None and (given.uri is None or saved.uri is None):
            return saved
        known = given.uri or lab_defaults(request.ref.lab).options.uri
        if known is not None:
            return Site(ProviderName.LIBVIRT, known)
        return resolve_request(request, self.layout, SavedPod()).order.site


def _with_base(request: PodRequest, base: Path) -> PodRequest:
    return replace(request, options=replace(request.options, base_uri=str(base)))
