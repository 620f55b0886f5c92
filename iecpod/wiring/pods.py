"""The verbs that change a POD, and those that say what they would change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.checkpoints.checkpoint_store import CheckpointStore
from iecpod.commands import deploy, plan, redeploy, teardown
from iecpod.commands.checkpoint.redeploy import redeploy_with_checkpoint
from iecpod.commands.conformance import run_conformance
from iecpod.commands.exports import write_exports
from iecpod.commands.plan import PlanResult
from iecpod.conformance.conformance_run import ConformanceOrder
from iecpod.conformance.report import ConformanceReport
from iecpod.errors import PreflightError
from iecpod.files.writer import READABLE, replace_file
from iecpod.options.choices import ProviderName
from iecpod.options.site import Site
from iecpod.pods.checkpoint_choice import find_fit, fit_text
from iecpod.pods.directory import REPORT
from iecpod.pods.installation import ensure_installation
from iecpod.pods.ports import PodTools
from iecpod.pods.request import BOOTSTRAP_LAB, PodRequest, lab_defaults
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.progress.event_lines import Run
from iecpod.provider import Removed
from iecpod.reports.job_files import RunOutputs, saved_reports
from iecpod.reports.run_report import Report
from iecpod.results import FAILED
from iecpod.wiring.access import exported
from iecpod.wiring.bootstrap import described_request, remove_described
from iecpod.wiring.conformance_host import ConformanceBench
from iecpod.wiring.pod_tools import PodAdapters
from iecpod.wiring.run_of_pod import new_run_id
from iecpod.wiring.session import Session

BuildCommand = Callable[[PodInputs, PodTools, Callable[[Report], None]], Report]
Describe = Callable[[PodAdapters], AbstractContextManager[PodRequest]]


class Pods:
    def __init__(self, session: Session) -> None:
        self._session = session
        self.layout = session.layout

    def deploy(self, request: PodRequest, outputs: RunOutputs) -> Report:
        return self._build(deploy.deploy, "deploy", request, outputs)

    def redeploy(self, request: PodRequest, outputs: RunOutputs, *, only_changed: bool = False) -> Report:
        build = redeploy.redeploy_changed if only_changed else redeploy.redeploy
        return self._build(build, "redeploy", request, outputs)

    def redeploy_with_checkpoint(self, request: PodRequest, outputs: RunOutputs) -> Report:
        build = partial(
            redeploy_with_checkpoint,
            store=CheckpointStore(self.layout.cache_dir),
            installation=ensure_installation(self.layout.state_dir),
        )
        return self._build(build, "redeploy", request, outputs)

    def bootstrap(self, request: PodRequest, addresses: Sequence[IPv4Address], outputs: RunOutputs) -> Report:
        """Describes machines as a POD, unless it is there, and deploys that; under one lock, as any verb.

        One that is refused leaves no trace, and a POD that lives keeps its descriptors.
        """
        describe = partial(described_request, layout=self.layout, request=request, addresses=addresses)
        return self._build(deploy.deploy, "deploy", request, outputs, describe)

    def _build(
        self,
        build: BuildCommand,
        verb: str,
        request: PodRequest,
        outputs: RunOutputs,
        describe: Describe | None = None,
    ) -> Report:
        run = Run(new_run_id(), verb, request.ref)
        opened = self._session.pod(request, run, outputs.events, locked=True, report_warnings=True, describe=describe)
        with saved_reports(outputs, run.ref, run.run_id) as save, opened as (inputs, tools):
            return build(inputs, tools, report_saver(inputs, tools, save))

    def plan(self, request: PodRequest, show: Callable[[str], None]) -> bool:
        """Whether there is anything to change. Raises `PreflightError` as a deploy would, once the plan is shown."""
        with self._session.pod(request, locked=True, report_warnings=True) as (inputs, tools):
            result = plan.make_pod_plan(inputs, tools)
            show(plan.plan_text(inputs, result, self._fit_text(request, result)))
            if result.problems:
                raise PreflightError(result.problems, f"POD {request.ref} cannot be deployed here")
            return bool(result.planned.plan.pending)

    def _fit_text(self, request: PodRequest, result: PlanResult) -> str:
        if result.inputs is None:
            return ""
        store = CheckpointStore(self.layout.cache_dir)
        return fit_text(find_fit(store, request.ref, result.inputs), result.inputs)

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
        described = request.ref.lab == BOOTSTRAP_LAB and given.base_uri is None  # until it was torn down
        if not given.makes_machines or (described and not given.uri):
            return Site(ProviderName.EXISTING)
        if saved is not None and (given.uri is None or saved.uri is None):
            return saved
        known = given.uri or lab_defaults(request.ref.lab).options.uri
        if known is not None:
            return Site(ProviderName.LIBVIRT, known)
        return resolve_request(request, self.layout, SavedPod()).order.site


def report_saver(inputs: PodInputs, tools: PodAdapters, save: Callable[[Report], None]) -> Callable[[Report], None]:
    """Saves a report in the POD's directory and where `save` does, and after a success what other programs read."""

    def save_report(report: Report) -> None:
        shown = report.rewritten(inputs.loaded.secrets.hide)
        replace_file(tools.state.pod_dir / REPORT, shown.to_json(), READABLE)
        save(shown)
        if report.outcome != FAILED:
            write_exports(exported(inputs, tools))

    return save_report
