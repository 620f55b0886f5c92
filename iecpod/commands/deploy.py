"""`iecpod deploy`: a POD and its cluster, from descriptors; running it again finds what is there and goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from iecpod.commands.prepare import (
    Prepared,
    architectures,
    check_prepared,
    new_stamp,
    prepare,
    proven_virt_type,
    withdraw,
)
from iecpod.commands.recalled import check_recalled
from iecpod.commands.report import Report
from iecpod.commands.request import PHASES
from iecpod.commands.resolve import PodInputs
from iecpod.commands.tools import PodTools
from iecpod.design.delivery import BundleVia
from iecpod.design.pace import pace_of
from iecpod.design.resources import Kind, VirtType
from iecpod.design.scenario import Cni
from iecpod.errors import IecpodError
from iecpod.phases.control_plane import ControlPlanePhase
from iecpod.phases.guest_power import GuestPower
from iecpod.phases.helm import HelmPhase
from iecpod.phases.hypervisor import DomainsPhase, DomainToMake, ImagePhase, NetworksPhase, StoragePhase
from iecpod.phases.kubeconfig import KubeconfigPhase
from iecpod.phases.kubectl import Kubectl
from iecpod.phases.pod_network import pod_network_phase
from iecpod.phases.reachable import ReachablePhase
from iecpod.phases.ready import ReadyPhase
from iecpod.phases.runtime import RuntimePhase
from iecpod.phases.verify import VerifyPhase
from iecpod.phases.workers import WorkersPhase
from iecpod.ports import BaseImage, Hypervisor, HypervisorHost, Images
from iecpod.render.libvirt import Stamp, render_volume
from iecpod.render.pod import RenderedDomain
from iecpod.results import DONE, FAILED, IN_PLACE, PhaseResult
from iecpod.watch import Watch
from iecpod.workflow import Phase, PhaseFailed, run_phases

_KVM_REMEDY = "KVM may be listed here and still not run guests: tear the POD down and try --virt-type qemu"


@dataclass(frozen=True, slots=True)
class DeployRun:
    """One deploy under way: its ports, and what is known of the POD."""

    inputs: PodInputs
    tools: PodTools
    host: HypervisorHost
    hypervisor: Hypervisor
    images: Images
    stamp: Stamp


def deploy(inputs: PodInputs, tools: PodTools, save_report: Callable[[Report], None]) -> Report:
    """Runs all phases. The report is saved whether they succeed or not; the error of a failed phase is raised.

    A deploy that is refused leaves no trace, unless something of the POD was there before.
    """
    with tools.lock():
        check_recalled(tools.ref, tools.recall(), inputs.chosen)
        return build_pod(inputs, tools, save_report)


def build_pod(inputs: PodInputs, tools: PodTools, save_report: Callable[[Report], None]) -> Report:
    """`deploy` for who holds the POD's lock."""
    is_new = not tools.pod_dir.exists()
    host = tools.host(inputs.uri)
    try:
        if is_new:
            tools.remember(inputs.chosen)
            host = tools.host(inputs.uri)  # only now is the installation certain, where two runs make one
        host.start()
        hypervisor = host.connect()
    except (IecpodError, OSError):
        if is_new:
            withdraw(tools, host)
        raise
    try:
        images = tools.images(inputs.release, inputs.bundle_via)
        run = DeployRun(inputs, tools, host, hypervisor, images, new_stamp(tools))
        return _deploy(run, is_new, save_report)
    finally:
        hypervisor.close()


def _deploy(run: DeployRun, is_new: bool, save_report: Callable[[Report], None]) -> Report:
    try:
        prepared = _prepare_checked(run)
    except (IecpodError, OSError):
        if is_new:
            withdraw(run.tools, run.host)
        raise
    results: list[PhaseResult] = []
    try:
        results += run_phases([_image_phase(run, prepared)], _watch(run, prepared))
        if results[0].outcome == DONE:
            # A fresh image is what KVM can be tried with, and that may change what the domains are to be.
            prepared = _prepare_checked(run)
        run.tools.remember(replace(run.inputs.chosen, virt_type=_virt_type(prepared)))
        watch = _watch(run, prepared)
        results += run_phases(_up_to(run.inputs.request.until, _phases(run, prepared, watch)), watch)
    except PhaseFailed as failed:
        _save_failed(run, _report(run, prepared, (*results, *failed.results), FAILED), save_report)
        raise failed.error from None
    outcome = DONE if any(result.outcome == DONE for result in results) else IN_PLACE
    report = _report(run, prepared, tuple(results), outcome)
    save_report(report)
    return report


def _save_failed(run: DeployRun, report: Report, save_report: Callable[[Report], None]) -> None:
    """A disk that is too full for the report does not hide why the run failed."""
    try:
        save_report(report)
    except OSError as error:
        run.tools.reporter.warn(f"the report cannot be written: {error.strerror or error}")


def _prepare_checked(run: DeployRun) -> Prepared:
    prepared = prepare(
        run.inputs,
        run.tools,
        run.hypervisor,
        run.images.key,
        virt_type=proven_virt_type(run.inputs, run.hypervisor.describe(), run.tools, run.images),
        stamp=run.stamp,
        keep_secrets=True,
    )
    check_prepared(prepared, run.inputs, run.tools, run.host)
    if prepared.pod.cluster.cni is not Cni.BRIDGE and prepared.plan.creates(Kind.DOMAIN):
        run.tools.cni_manifest(prepared.pod.cluster)  # what cannot be had or patched is told before anything is made
    return prepared


def _virt_type(prepared: Prepared) -> VirtType:
    return prepared.pod.domains[0].virt_type


def _watch(run: DeployRun, prepared: Prepared) -> Watch:
    tools, request, pace = run.tools, run.inputs.request, pace_of(_virt_type(prepared))
    consoles = {domain.hostname: domain.console_log for domain in prepared.pod.domains}

    def read_console(node: str) -> str:
        return tools.read_console(consoles[node])

    domains = {rendered.domain.hostname: rendered.resource.name for rendered in prepared.rendered.domains}
    power = GuestPower(run.host, domains, tools.clock)
    limits = dict(request.limits)
    return Watch(request.command, pace, tools.clock, tools.reporter, read_console, power.find_stopped, limits)


def _report(run: DeployRun, prepared: Prepared, results: tuple[PhaseResult, ...], outcome: str) -> Report:
    return Report(
        pod=str(run.tools.ref),
        run_id=run.stamp.run_id,
        virt_type=_virt_type(prepared).value,
        outcome=outcome,
        phases=results,
        until=run.inputs.request.until,
    )


def _image_phase(run: DeployRun, prepared: Prepared) -> Phase:
    archs, needed = architectures(prepared.pod), prepared.plan.creates(Kind.DOMAIN)
    for arch in archs:
        if not needed and run.images.find(arch) is None:
            run.tools.reporter.warn(
                f"the {arch.value} image that the disks of the nodes rest on is damaged or gone from the cache: nodes "
                f"may fail, or not start again; `{run.inputs.request.command('redeploy')}` makes it and them anew"
            )
    disks = run.tools.bundle_disks(run.inputs.release) if run.inputs.bundle_via is BundleVia.DISK else None
    return ImagePhase(run.images, archs, needed=needed, bundle_disks=disks)


def _up_to(last: str | None, phases: Sequence[Phase]) -> Sequence[Phase]:
    if last is None:
        return phases
    wanted = PHASES[: PHASES.index(last) + 1]
    return [phase for phase in phases if phase.name in wanted]


def _phases(run: DeployRun, prepared: Prepared, watch: Watch) -> list[Phase]:
    """The life of a POD, in order."""
    tools, cluster, rendered = run.tools, prepared.pod.cluster, prepared.rendered
    shells = tools.shells(run.host, cluster)
    first = shells[cluster.control_plane.hostname]
    release = run.inputs.release
    archs = {domain.hostname: domain.arch for domain in prepared.pod.domains}
    kubeconfig = tools.kubeconfig_path
    kubectl_at = partial(Kubectl, on_host=tools.host_kubectl(run.host, release))
    return [
        NetworksPhase(run.hypervisor, rendered.networks),
        StoragePhase(run.hypervisor, rendered.pool),
        DomainsPhase(
            run.hypervisor,
            run.images,
            rendered.pool.name,
            tuple(_domain_to_make(run, domain) for domain in rendered.domains),
            _KVM_REMEDY if _virt_type(prepared) is VirtType.KVM else "",
        ),
        ReachablePhase(shells, watch),
        RuntimePhase(
            release,
            prepared.pod.supply,
            shells,
            tools.fetch_key,
            lambda hostname: tools.bundle(release, archs[hostname]),
            watch,
            {domain.hostname: domain.bundle_disk.uuid for domain in prepared.pod.domains if domain.bundle_disk},
        ),
        ControlPlanePhase(cluster, first, watch),
        KubeconfigPhase(cluster, first, kubeconfig),
        pod_network_phase(cluster, shells, lambda: tools.cni_manifest(cluster), watch, kubectl_at),
        WorkersPhase(cluster, shells, watch, kubectl_at=kubectl_at),
        ReadyPhase(cluster, shells, watch, kubectl_at=kubectl_at),
        HelmPhase(release, first, lambda: tools.helm_programs(release, archs[first.node]), watch),
        VerifyPhase(cluster, shells, watch, run.host.open_socket, kubectl_at=kubectl_at),
    ]


def _domain_to_make(run: DeployRun, rendered: RenderedDomain) -> DomainToMake:
    domain = rendered.domain

    def render_root_volume(image: BaseImage) -> str:
        size = max(domain.root_bytes, image.virtual_size_bytes)
        return render_volume(domain.root_volume, size, str(image.path), image.format)

    return DomainToMake(
        resource=rendered.resource,
        arch=domain.arch,
        render_root_volume=render_root_volume,
        seed_volume=domain.seed_volume,
        make_seed=lambda: run.tools.make_seed(rendered.seed),
    )
