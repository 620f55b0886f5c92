"""From valid inputs and a live hypervisor to the plan: everything rendered, nothing made."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from iecpod.commands.resolve import PodInputs
from iecpod.commands.tools import PodTools
from iecpod.design.delivery import BundleVia
from iecpod.design.desired import DesignInputs, DesiredPod, design_pod
from iecpod.design.ownership import Owner, is_owned
from iecpod.design.plan import Plan, make_plan
from iecpod.design.preflight import KVM_REMEDY, check_nothing_to_create, check_preflight, kvm_is_barred
from iecpod.design.release_support import check_support
from iecpod.design.resources import BundleDisk, HostFacts, Kind, ObservedResource, VirtType
from iecpod.errors import PreflightError, count_errors
from iecpod.model import Arch
from iecpod.ports import Hypervisor, HypervisorHost, Images
from iecpod.render.libvirt import Stamp
from iecpod.render.pod import RenderedPod, render_pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    pod: DesiredPod
    rendered: RenderedPod
    plan: Plan
    facts: HostFacts
    observed: tuple[ObservedResource, ...]
    owner: Owner


def new_stamp(tools: PodTools) -> Stamp:
    """Marks what this run makes."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Stamp(tools.ref, tools.run_id, now, tools.owner.installation)


def prepare(
    inputs: PodInputs,
    tools: PodTools,
    hypervisor: Hypervisor,
    image_key: Callable[[Arch], str],
    *,
    virt_type: VirtType,
    stamp: Stamp,
    keep_secrets: bool,
) -> Prepared:
    """Designs, renders and compares with what the hypervisor shows; `image_key` is as in `Images`."""
    facts, observed, owner = hypervisor.describe(), hypervisor.observe(), tools.owner
    ours = {seen.bridge for seen in observed if seen.kind is Kind.NETWORK and is_owned(seen, owner)}
    pod = design_pod(
        DesignInputs(
            spec=inputs.spec,
            allocation=inputs.allocation,
            scenario=inputs.scenario,
            release=inputs.release,
            supply=inputs.chosen.supply,
            facts=facts,
            lab_bridges=frozenset(facts.bridges) - ours,
            virt_type=virt_type,
            pod_cidr=inputs.pod_cidr,
            service_cidr=inputs.service_cidr,
            vcpus=inputs.chosen.vcpus,
            memory_mib=inputs.chosen.memory_mib,
            disposable=inputs.chosen.disposable is True,
            pod_dir=PurePosixPath(tools.pod_dir),
            bundle_disks=_bundle_disks(inputs, tools),
        )
    )
    hostnames = tuple(domain.hostname for domain in pod.domains)
    rendered = render_pod(
        pod,
        stamp=stamp,
        secrets=tools.secrets(hostnames, keep=keep_secrets),
        image_keys={arch: image_key(arch) for arch in architectures(pod)},
        cloud_init_dir=tools.cloud_init_dir,
    )
    plan = make_plan(rendered.resources, observed, owner)
    return Prepared(pod=pod, rendered=rendered, plan=plan, facts=facts, observed=observed, owner=owner)


def _bundle_disks(inputs: PodInputs, tools: PodTools) -> dict[Arch, BundleDisk]:
    if inputs.bundle_via is not BundleVia.DISK:
        return {}
    disks = tools.bundle_disks(inputs.release)
    return {arch: disks.disk(arch) for arch in {node.arch for node in inputs.spec.pdf.nodes}}


def check_prepared(prepared: Prepared, inputs: PodInputs, tools: PodTools, host: HypervisorHost) -> None:
    """Raises `PreflightError` with every reason why the plan cannot be carried out here; warns of demoted ones."""
    found = check_preflight(
        prepared.pod,
        prepared.plan,
        facts=prepared.facts,
        observed=prepared.observed,
        owner=prepared.owner,
        routes=host.routes(),
        free_bytes=tools.free_bytes(prepared.pod.pool_path),
        with_kubernetes=not inputs.request.stops_before_kubernetes,
    )
    old = check_support(inputs.release, tools.clock.today())
    missing = () if inputs.request.may_create else check_nothing_to_create(prepared.plan)
    problems = [problem.demoted(inputs.request.demoted) for problem in (*found, *missing, *old)]
    if count_errors(problems):
        raise PreflightError(problems, f"POD {tools.ref} cannot be deployed here; nothing was changed")
    for problem in problems:
        tools.reporter.warn(str(inputs.loaded.explained(problem)))


def architectures(pod: DesiredPod) -> tuple[Arch, ...]:
    return tuple(dict.fromkeys(domain.arch for domain in pod.domains))


def assumed_virt_type(inputs: PodInputs, facts: HostFacts) -> VirtType:
    """The virt type as far as it is known without trying it: KVM where it is listed for every node."""
    if inputs.virt_type is not None:
        return inputs.virt_type
    archs = {node.arch for node in inputs.spec.pdf.nodes}
    listed = all(arch in facts.emulators and facts.emulators[arch].kvm for arch in archs)
    return VirtType.KVM if listed else VirtType.QEMU


def proven_virt_type(inputs: PodInputs, facts: HostFacts, tools: PodTools, images: Images) -> VirtType:
    """As `assumed_virt_type`, but with `auto` KVM must have booted the image's own kernel (cached images only)."""
    assumed = assumed_virt_type(inputs, facts)
    if inputs.virt_type is None and any(kvm_is_barred(facts, node.arch) for node in inputs.spec.pdf.nodes):
        tools.reporter.warn(
            f"{facts.qemu_user}, as whom QEMU runs, cannot use /dev/kvm: guests are emulated; {KVM_REMEDY}"
        )
    if inputs.virt_type is not None or assumed is VirtType.QEMU:
        return assumed
    for arch in {node.arch for node in inputs.spec.pdf.nodes}:
        image = images.find(arch)
        if image is not None and not tools.kvm_boots(image, facts.emulators[arch], arch):
            tools.reporter.warn("KVM is listed here but boots no kernel: guests are emulated (virt type qemu)")
            return VirtType.QEMU
    return assumed


def withdraw(tools: PodTools, host: HypervisorHost) -> None:
    """Takes back what looking at a hypervisor took: its daemons, if they are ours, and the POD's directory."""
    host.stop()
    tools.remove_pod_dir()
