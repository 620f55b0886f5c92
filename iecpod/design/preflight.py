"""What can be known to fail before anything is made: all of it at once, as problems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iecpod.descriptors.addressing import is_too_wide, too_wide_problem
from iecpod.descriptors.cidrs import TakenNetwork, check_cidrs, check_idf_networks, idf_networks
from iecpod.design.bundle_check import check_bundle
from iecpod.design.desired import DesiredPod
from iecpod.design.first_node import check_first_node
from iecpod.design.ownership import Owner, is_owned
from iecpod.design.plan import Action, Plan
from iecpod.design.reached import reached_networks
from iecpod.design.release_check import check_release
from iecpod.design.release_trust import check_trust
from iecpod.design.replacement import plan_replacement
from iecpod.design.resources import HostFacts, Kind, ObservedResource, Route, VirtType
from iecpod.errors import Problem, Severity
from iecpod.model import Arch

_GIB = 1024**3

KVM_REMEDY = "let it: group kvm and mode 0660 for /dev/kvm, and `usermod -aG kvm libvirt-qemu`; or use --virt-type qemu"
#: A node's overlay grows with what Kubernetes writes; measured at under 1 GiB after a deploy.
_OVERLAY_BYTES = _GIB


def check_preflight(
    pod: DesiredPod,
    plan: Plan,
    *,
    facts: HostFacts,
    observed: Sequence[ObservedResource],
    owner: Owner,
    routes: Sequence[Route],
    free_bytes: int,
    with_kubernetes: bool = True,
) -> tuple[Problem, ...]:
    """Every reason why the plan cannot be carried out on this host; `with_kubernetes` unless machines are all of it."""
    return (
        *plan.conflicts,
        *_check_replaced(pod, plan),
        *_check_emulators(pod, facts),
        *_check_kvm(pod, facts),
        *_check_networks(pod, observed, owner, routes),
        *_check_bridges(pod, plan, facts),
        *_check_mtu(pod, facts),
        *_check_memory(pod, plan, facts),
        *_check_disk(pod, plan, free_bytes),
        *(check_first_node(pod) if with_kubernetes else ()),
        *_check_cni(pod),
        *check_release(pod.cluster, pod.supply),
        *check_trust(pod.cluster.release, pod.cluster.arch, pod.supply),
        *check_bundle(pod),
    )


def _check_replaced(pod: DesiredPod, plan: Plan) -> list[Problem]:
    whole = plan_replacement(plan, pod.control_plane_domain).whole
    way = "`iecpod redeploy` makes the whole POD anew" if whole else "`iecpod redeploy --changed` makes it anew"
    return [
        Problem(
            path=f"{change.kind.value} {change.name}",
            message=f"it exists and {change.reason}; deploy does not replace what runs",
            remedy=f"{way}; or go back to the descriptors and options that it was made from",
            rule="changed-in-place",
        )
        for change in plan.replaced
    ]


def check_nothing_to_create(plan: Plan) -> list[Problem]:
    """For a deploy that may create nothing: what of the POD is not there. What is there and off may be started."""
    return [
        Problem(
            path=f"{change.kind.value} {change.name}",
            message="it does not exist, and this deploy is to create nothing (-f)",
            remedy="leave -f out: deploy makes what is missing",
            rule="nothing-to-reuse",
        )
        for change in plan.changes
        if change.action is Action.CREATE
    ]


def _check_emulators(pod: DesiredPod, facts: HostFacts) -> Iterator[Problem]:
    for arch in dict.fromkeys(domain.arch for domain in pod.domains):
        is_arm = arch is Arch.AARCH64
        emulator = facts.emulators.get(arch)
        if emulator is None:
            yield Problem(
                message=f"the hypervisor has no emulator for {arch.value} nodes",
                remedy=f"install qemu-system-{'arm' if is_arm else 'x86'} there",
                rule="emulator-missing",
            )
        elif emulator.firmware is None:
            yield Problem(
                message=f"the hypervisor has no UEFI firmware for {arch.value} nodes",
                remedy=f"install {'qemu-efi-aarch64' if is_arm else 'ovmf'} there",
                rule="firmware-missing",
            )


def _check_kvm(pod: DesiredPod, facts: HostFacts) -> Iterator[Problem]:
    wanted = {domain.arch for domain in pod.domains if domain.virt_type is VirtType.KVM}
    if any(kvm_is_barred(facts, arch) for arch in wanted):
        yield Problem(
            message=f"nodes are to run with KVM, and {facts.qemu_user}, as whom QEMU runs, cannot use /dev/kvm",
            remedy=KVM_REMEDY,
            rule="kvm-not-accessible",
        )


def kvm_is_barred(facts: HostFacts, arch: Arch) -> bool:
    """Whether the host has KVM for guests of its own architecture, and QEMU may not use it."""
    emulator = facts.emulators.get(arch)
    is_native = arch.value == facts.arch and emulator is not None and not emulator.kvm
    return is_native and facts.has_kvm_device


def _check_networks(
    pod: DesiredPod, observed: Sequence[ObservedResource], owner: Owner, routes: Sequence[Route]
) -> tuple[Problem, ...]:
    ours = {seen.bridge for seen in observed if seen.kind is Kind.NETWORK and is_owned(seen, owner)}
    lab = {vnic.host_bridge for domain in pod.domains for vnic in domain.vnics if vnic.host_bridge}
    foreign_routes = [TakenNetwork(route.cidr, route.owner) for route in routes if route.device not in ours]
    foreign_networks = [
        TakenNetwork(cidr, f"libvirt network {seen.name}")
        for seen in observed
        if seen.kind is Kind.NETWORK and not is_owned(seen, owner)
        for cidr in seen.cidrs
    ]
    # A network on the lab's own bridge is expected to have the host's route; those that we make must be free.
    made = {network.network for network in pod.networks}
    lab_routes = [TakenNetwork(route.cidr, route.owner) for route in routes if route.device in lab]
    elsewhere = [taken for taken in (*foreign_routes, *foreign_networks) if taken not in lab_routes]
    return (
        *check_cidrs(
            str(pod.cluster.pod_cidr),
            str(pod.cluster.service_cidr),
            (*idf_networks(pod.spec), *reached_networks(pod), *foreign_routes, *foreign_networks),
            nodes=len(pod.cluster.nodes),
        ),
        *check_idf_networks([taken for taken in idf_networks(pod.spec) if taken.network in made], elsewhere),
    )


def _check_bridges(pod: DesiredPod, plan: Plan, facts: HostFacts) -> Iterator[Problem]:
    to_create = {change.name for change in plan.pending if change.kind is Kind.NETWORK and change.action.value == "+"}
    links = {link.name: link for link in facts.links}
    for network in pod.networks:
        link = links.get(network.bridge) if network.name in to_create else None
        key = f"idf.fuel.jumphost.bridges.{network.network.value}"
        if link is not None and link.is_bridge:
            yield Problem(
                path=f"network {network.name}",
                message=f"its bridge {network.bridge!r} exists on the host and is not iecpod's",
                remedy=f"name it in {key} to use it as the lab's own bridge, name another one there, or deploy with "
                "-c embedded",
                rule="bridge-exists",
            )
        elif link is not None:
            yield Problem(
                path=f"network {network.name}",
                message=f"its bridge would be named {network.bridge!r}, and the host has a device of that name that is "
                "no bridge",
                remedy=f"name another one in {key}, or deploy with -c embedded",
                rule="bridge-name-taken",
            )
        if network.dhcp_range is not None and pod.spec.idf.bridge(network.network) and is_too_wide(network.dhcp_range):
            yield too_wide_problem(pod.spec, network.dhcp_range)


def _check_mtu(pod: DesiredPod, facts: HostFacts) -> Iterator[Problem]:
    """Bridges of the lab, which pass on no packet larger than their MTU."""
    wanted = {vnic.host_bridge: vnic.mtu for domain in pod.domains for vnic in domain.vnics}
    for link in facts.links:
        if link.mtu < wanted.get(link.name, 0):
            yield Problem(
                path="idf.fuel.network.interface_mtu",
                message=f"nodes would have an MTU of {wanted[link.name]} on the bridge {link.name!r}, whose own is "
                f"{link.mtu}",
                remedy=f"set interface_mtu to {link.mtu} or less, or raise the MTU of the bridge and of what is on it",
                file=pod.spec.idf_file,
                rule="bridge-mtu",
            )


def _check_memory(pod: DesiredPod, plan: Plan, facts: HostFacts) -> list[Problem]:
    if not plan.creates(Kind.DOMAIN) and not plan.replaces(Kind.DOMAIN):
        return []
    wanted_mib = sum(domain.memory_mib for domain in pod.domains)
    if wanted_mib <= facts.memory_mib:
        return []
    return [
        Problem(
            message=f"the nodes want {wanted_mib} MiB of memory, the hypervisor has {facts.memory_mib} MiB",
            remedy="give the nodes less with --memory or in the PDF, or use a larger hypervisor",
            rule="memory",
        )
    ]


def _check_disk(pod: DesiredPod, plan: Plan, free_bytes: int) -> list[Problem]:
    created = sum(change.kind is Kind.DOMAIN and change.action.value == "+" for change in plan.changes)
    needed = created * _OVERLAY_BYTES
    if free_bytes >= needed:
        return []
    return [
        Problem(
            message=f"{pod.pool_path} has {free_bytes / _GIB:.1f} GiB free, the nodes' disks need {needed / _GIB:.0f} "
            "GiB to begin with",
            remedy="make room there, or put the state elsewhere with IECPOD_STATE_DIR",
            rule="disk-full",
        )
    ]


def _check_cni(pod: DesiredPod) -> list[Problem]:
    release = pod.cluster.release
    if pod.cluster.cni.value in release.cnis:
        return []
    return [
        Problem(
            message=f"release {release.name} has no {pod.cluster.cni.value}, which scenario {pod.scenario.name} wants",
            remedy=f"choose a scenario (-s) with {' or '.join(release.cnis)}, or another --release",
            rule="cni-not-in-release",
            severity=Severity.ERROR,
        )
    ]
