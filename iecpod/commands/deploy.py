"""`iecpod deploy`: a POD and its cluster, from descriptors; running it again finds what is there and resumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.phases.control_plane import ControlPlanePhase
from iecpod.deploy.phases.helm import HelmPhase
from iecpod.deploy.phases.kubeconfig import KubeconfigPhase
from iecpod.deploy.phases.pod_network import PodNetworkPhase
from iecpod.deploy.phases.prune import PrunePhase, SurplusMachines
from iecpod.deploy.phases.ready import ReadyPhase
from iecpod.deploy.phases.runtime import RuntimePhase
from iecpod.deploy.phases.verify import VerifyPhase
from iecpod.deploy.phases.workers import WorkersPhase
from iecpod.deploy.waiting.phase_tools import PhaseTools, make_phase_tools
from iecpod.deploy.workflow import Phase, PhaseFailed, run_phases
from iecpod.descriptors.addresses.node_order import places_of
from iecpod.design.software.image_origin import NeededImage
from iecpod.errors import IecpodError, UsageError
from iecpod.options.option import Source
from iecpod.pods.cluster_access import kubectl_of
from iecpod.pods.directory import RESTORING
from iecpod.pods.manifest_check import KnownManifests, look_at_manifests
from iecpod.pods.ports import PodState, PodTools, RunContext
from iecpod.pods.refusal import check_plan
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.pods.resolve import PodInputs
from iecpod.pods.saved import check_saved
from iecpod.provider import Console, MachinePlan, Power, Provider
from iecpod.reports.run_report import Report
from iecpod.results import DONE, FAILED, IN_PLACE, PhaseResult


@dataclass(frozen=True, slots=True)
class DeployRun:
    """One deploy under way."""

    inputs: PodInputs
    tools: PodTools
    provider: Provider


def deploy(inputs: PodInputs, tools: PodTools, save_report: Callable[[Report], None]) -> Report:
    """Runs all phases. The report is saved whether they succeed or not; the error of a failed phase is raised.

    A deploy that is refused leaves no trace, unless something of the POD was there before. Holding the POD's lock is
    for the caller, before `inputs` are resolved: so it is with every verb.
    """
    check_saved(tools.run.ref, tools.state.saved().options, inputs.order.options)
    return build_pod(inputs, tools, save_report)


def build_pod(inputs: PodInputs, tools: PodTools, save_report: Callable[[Report], None]) -> Report:
    """`deploy`, whatever the POD was deployed with before."""
    is_new = not tools.state.pod_dir.exists()
    run = DeployRun(inputs, tools, tools.nodes.provider(inputs.order.site))
    _check_until(inputs.request.until, run.provider)
    try:
        if is_new:
            tools.state.save(inputs.to_save)
        (tools.state.pod_dir / RESTORING).unlink(missing_ok=True)
        run.provider.open(start=True)
        planned, images = _plan_checked(run)
    except (IecpodError, OSError):
        run.provider.close()
        if is_new:
            withdraw(tools.state, run.provider)
        raise
    for image in images:
        tools.run.reporter.progress(f"{image.wanted_by} runs {image.reference}, from {image.origin}")
    try:
        return _deploy(run, planned, save_report)
    finally:
        run.provider.close()


def withdraw(state: PodState, provider: Provider) -> None:
    """Undoes what a look at a new POD took: daemons, if they are ours, and the POD's directory."""
    provider.withdraw()
    state.remove_pod_dir()


def _deploy(run: DeployRun, planned: MachinePlan, save_report: Callable[[Report], None]) -> Report:
    results: list[PhaseResult] = []
    try:
        shared = phase_tools(run.inputs, run.tools.run, run.provider, planned)
        fetched = run_phases(planned.fetch_phases(shared), shared)
        results += fetched
        if any(result.outcome == DONE for result in fetched):
            # A fresh image is what KVM can be tried with, and that may change what the machines are to be.
            planned, _ = _plan_checked(run)
        saved = run.inputs.to_save
        found = saved.options.changed(Source.DEFAULT, virt_type=planned.virt_type)
        saved = replace(saved, options=found)
        run.tools.state.save(saved)
        shared = phase_tools(run.inputs, run.tools.run, run.provider, planned)
        results += run_phases(_up_to(run, _phases(run, planned, shared)), shared)
        if run.inputs.request.prune and run.inputs.request.until is None:
            run.tools.state.save(replace(saved, places=places_of(run.inputs.order.spec)))
    except PhaseFailed as failed:
        failed_results = (*results, *failed.results)
        _save_failed(run, make_report(run, planned, failed_results, FAILED), save_report)
        raise failed.error from None
    outcome = DONE if any(result.outcome == DONE for result in results) else IN_PLACE
    report = make_report(run, planned, tuple(results), outcome)
    save_report(report)
    return report


def _save_failed(run: DeployRun, report: Report, save_report: Callable[[Report], None]) -> None:
    """A disk that is too full for the report does not hide why the run failed."""
    try:
        save_report(report)
    except OSError as error:
        run.tools.run.reporter.warn(f"the report cannot be written: {error.strerror or error}")


def _plan_checked(run: DeployRun) -> tuple[MachinePlan, tuple[NeededImage, ...]]:
    """With the images of what is made. A manifest that cannot be fetched or patched ends the run here."""
    planned = run.provider.plan(run.inputs.order, prove=True, keep_secrets=True)
    manifests = look_at_manifests(planned, run.inputs, run.tools.software) if planned.plan.created else KnownManifests()
    check_plan(planned, run.inputs, run.tools.run, manifests.images, may_prune=run.inputs.request.prune)
    manifests.check()
    return planned, manifests.images


def phase_tools(inputs: PodInputs, run: RunContext, provider: Provider, planned: MachinePlan) -> PhaseTools:
    """What the phases of a run share."""
    request = inputs.request
    read_console = provider.read_console if isinstance(provider, Console) else None
    hostnames = tuple(machine.hostname for machine in planned.machines)
    find_stopped = partial(provider.find_stopped, hostnames) if isinstance(provider, Power) else tuple
    limits = dict(request.limits)
    return make_phase_tools(
        request.command, planned.guest_speed, run.clock, run.reporter, read_console, find_stopped, limits
    )


def make_report(run: DeployRun, planned: MachinePlan, results: tuple[PhaseResult, ...], outcome: str) -> Report:
    return Report(
        pod=str(run.tools.run.ref),
        run_id=run.tools.run.run_id,
        virt_type=planned.virt_type.value if planned.virt_type else "",
        outcome=outcome,
        phases=results,
        until=run.inputs.request.until,
        known_phases=phase_names(run.provider),
    )


def phase_names(provider: Provider) -> tuple[str, ...]:
    """Of all phases of its PODs, in order."""
    return (*provider.phase_names, *CLUSTER_PHASES)


def _check_until(last: str | None, provider: Provider) -> None:
    """Raises `UsageError` for a phase of another provider."""
    names = phase_names(provider)
    if last is not None and last not in names:
        raise UsageError(
            f"--until {last}: the machines of this POD have no such phase", f"its phases are {', '.join(names)}"
        )


def _up_to(run: DeployRun, phases: Sequence[Phase]) -> Sequence[Phase]:
    last, names = run.inputs.request.until, phase_names(run.provider)
    wanted = names if last is None else names[: names.index(last) + 1]
    return [phase for phase in phases if phase.name in wanted]


def _phases(run: DeployRun, planned: MachinePlan, shared: PhaseTools) -> list[Phase]:
    """The life of a POD, in order."""
    tools, pod, cluster = run.tools, planned.pod, planned.pod.cluster
    shells = tools.nodes.shells(run.provider.endpoints(run.inputs.order))
    first = shells[cluster.control_plane.hostname]
    release = cluster.release
    archs = {machine.hostname: machine.arch for machine in planned.machines}
    roles = {node.hostname: node.role for node in cluster.nodes}
    admin_conf = AdminConf(cluster, first)
    kubectl_at = kubectl_of(tools.nodes, run.provider.way, cluster, first, admin_conf)
    return [
        *planned.phases(shells, shared),
        RuntimePhase(
            release,
            pod.supply,
            shells,
            tools.software.fetch_key,
            lambda hostname, is_sent: tools.software.bundle(
                release, archs[hostname], roles[hostname] if is_sent else None
            ),
            shared,
            {machine.hostname: machine.bundle_disk for machine in planned.machines if machine.bundle_disk},
            pod.docker_bridge,
            archs,
        ),
        ControlPlanePhase(cluster, first, shared, admin_conf, kubectl_at),
        KubeconfigPhase(cluster, admin_conf, tools.state.kubeconfig_path, shared.waits),
        PodNetworkPhase(cluster, shells, lambda: tools.software.cni_manifest(cluster), shared, kubectl_at=kubectl_at),
        WorkersPhase(cluster, shells, shared, kubectl_at=kubectl_at, hosts=pod.host_lines),
        ReadyPhase(cluster, shells, shared, kubectl_at=kubectl_at),
        _prune_phase(run, kubectl_at(first), shared),
        HelmPhase(
            release,
            first,
            lambda: tools.software.helm_programs(release, archs[first.node]),
            shared.reporter,
            shared.waits,
        ),
        VerifyPhase(cluster, shells, shared, run.provider.way.open_socket, kubectl_at=kubectl_at),
    ]


def _prune_phase(run: DeployRun, kubectl: Kubectl, shared: PhaseTools) -> PrunePhase:
    provider, order, inputs = run.provider, run.inputs.order, run.inputs
    gone = {name: place for name, place in inputs.places.items() if name not in places_of(inputs.order.spec)}
    named = [name if order.named_by_pdf else inputs.order.scenario.hostname(place) for name, place in gone.items()]
    former = [hostname for hostname in named if hostname not in order.hostnames]
    machines = SurplusMachines(find=lambda: provider.find_surplus(order), remove=provider.remove_surplus)
    return PrunePhase(former, machines, kubectl, shared, inputs.request.prune)
