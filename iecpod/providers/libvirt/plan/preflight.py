"""Whether a plan can be carried out on its hypervisor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iecpod.descriptors.addresses.cidrs import TakenNetwork, check_idf_networks, idf_networks
from iecpod.descriptors.addresses.dhcp_range import is_too_wide, too_wide_problem
from iecpod.design.changes import Plan
from iecpod.design.machines import Route
from iecpod.design.owner import Owner
from iecpod.design.preflight import check_pod_cidrs
from iecpod.errors import Problem
from iecpod.model import Arch
from iecpod.options.choices import VirtType
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.objects import HostFacts, Kind, ObservedResource
from iecpod.providers.libvirt.ownership import is_owned
from iecpod.providers.libvirt.plan.replacement import plan_replacement
from iecpod.providers.libvirt.plan.wire_rules import check_wires

_GIB = 1024**3

KVM_REMEDY = "let it: group kvm and mode 0660 for /dev/kvm, and `usermod -aG kvm libvirt-qemu`; or use --virt-type qemu"
_REMOVE_DEVICE = "remove that device, or deploy with -c embedded"
#: A node's overlay grows with what Kubernetes writes; measured at under 1 GiB after a deploy.
_OVERLAY_BYTES = _GIB


def check_host(
    machines: DesiredMachines,
    plan: Plan,
    *,
    facts: HostFacts,
    observed: Sequence[ObservedResource],
    owner: Owner,
    routes: Sequence[Route],
    free_bytes: int,
    no_vlan_links: str = "",
) -> tuple[Problem, ...]:
    """Every reason why the plan cannot be carried out on this host.

    `no_vlan_links` is why this process cannot make links between bridges.
    """
    return (
        *plan.conflicts,
        *_check_replaced(machines, plan),
        *_check_emulators(machines, facts),
        *_check_kvm(machines, facts),
        *_check_networks(machines, observed, owner, routes),
        *_check_bridges(machines, plan, facts),
        *check_wires(machines, observed, owner, no_vlan_links),
        *_check_mtu(machines, facts),
        *_check_memory(machines, plan, facts),
        *_check_disk(machines, plan, free_bytes),
    )


def _check_replaced(machines: DesiredMachines, plan: Plan) -> list[Problem]:
    whole = plan_replacement(plan, machines.control_plane_domain).whole
    way = "`iecpod redeploy` recreates the whole POD" if whole else "`iecpod redeploy --changed` recreates it"
    return [
        Problem(
            path=f"{change.kind} {change.name}",
            message=f"it exists and {change.reason}; deploy does not replace what runs",
            remedy=f"{way}; or go back to the descriptors and options that it was made from",
            rule="changed-in-place",
        )
        for change in plan.replaced
    ]


def _check_emulators(machines: DesiredMachines, facts: HostFacts) -> Iterator[Problem]:
    for arch in dict.fromkeys(domain.arch for domain in machines.domains):
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


def _check_kvm(machines: DesiredMachines, facts: HostFacts) -> Iterator[Problem]:
    wanted = {domain.arch for domain in machines.domains if domain.virt_type is VirtType.KVM}
    if any(kvm_is_barred(facts, arch) for arch in wanted):
        yield Problem(
            message=f"nodes are to run with KVM, and {facts.qemu_user}, the account of QEMU, cannot use /dev/kvm",
            remedy=KVM_REMEDY,
            rule="kvm-not-accessible",
        )


def kvm_is_barred(facts: HostFacts, arch: Arch) -> bool:
    """Whether the host has KVM for guests of its own architecture, and QEMU may not use it."""
    emulator = facts.emulators.get(arch)
    is_native = arch.value == facts.arch and emulator is not None and not emulator.kvm
    return is_native and facts.has_kvm_device


def _check_networks(
    machines: DesiredMachines, observed: Sequence[ObservedResource], owner: Owner, routes: Sequence[Route]
) -> tuple[Problem, ...]:
    ours = {seen.bridge for seen in observed if seen.kind is Kind.NETWORK and is_owned(seen, owner)}
    lab = {vnic.host_bridge for domain in machines.domains for vnic in domain.vnics if vnic.host_bridge}
    foreign_routes = [TakenNetwork(route.cidr, route.owner) for route in routes if route.device not in ours]
    foreign_networks = [
        TakenNetwork(cidr, f"libvirt network {seen.name}")
        for seen in observed
        if seen.kind is Kind.NETWORK and not is_owned(seen, owner)
        for cidr in seen.cidrs
    ]
    # A network on the lab's own bridge is expected to have the host's route; those that we make must be free.
    made = {network.network for network in machines.networks}
    lab_routes = [TakenNetwork(route.cidr, route.owner) for route in routes if route.device in lab]
    elsewhere = [taken for taken in (*foreign_routes, *foreign_networks) if taken not in lab_routes]
    return (
        *check_pod_cidrs(machines.pod, (*foreign_routes, *foreign_networks)),
        *check_idf_networks([taken for taken in idf_networks(machines.pod.spec) if taken.network in made], elsewhere),
    )


def _check_bridges(machines: DesiredMachines, plan: Plan, facts: HostFacts) -> Iterator[Problem]:
    to_create = {change.name for change in plan.pending if change.kind == Kind.NETWORK and change.action.value == "+"}
    links = {link.name: link for link in facts.links}
    for network in machines.networks:
        link = links.get(network.bridge) if network.name in to_create else None
        named = f"in idf.fuel.jumphost.bridges.{network.network.value}" if network.network else ""
        if link is not None and link.is_bridge:
            yield Problem(
                path=f"network {network.name}",
                message=f"its bridge {network.bridge!r} exists on the host and is not iecpod's",
                remedy=f"name it {named} to use it as the lab's own bridge, name another one there, or deploy with "
                "-c embedded"
                if named
                else _REMOVE_DEVICE,
                rule="bridge-exists",
            )
        elif link is not None:
            yield Problem(
                path=f"network {network.name}",
                message=f"its bridge would be named {network.bridge!r}, and the host has a device of that name that is "
                "no bridge",
                remedy=f"name another one {named}, or deploy with -c embedded" if named else _REMOVE_DEVICE,
                rule="bridge-name-taken",
            )
        if (
            network.dhcp_range is not None
            and network.network is not None
            and machines.pod.spec.idf.bridge(network.network)
            and is_too_wide(network.dhcp_range)
        ):
            yield too_wide_problem(machines.pod.spec, network.dhcp_range)


def _check_mtu(machines: DesiredMachines, facts: HostFacts) -> Iterator[Problem]:
    """Bridges of the lab, which pass on no packet larger than their MTU."""
    wanted = {vnic.host_bridge: vnic.mtu for domain in machines.domains for vnic in domain.vnics}
    for link in facts.links:
        if link.mtu < wanted.get(link.name, 0):
            yield Problem(
                path="idf.fuel.network.interface_mtu",
                message=f"nodes would have an MTU of {wanted[link.name]} on the bridge {link.name!r}, whose own is "
                f"{link.mtu}",
                remedy=f"set interface_mtu to {link.mtu} or less, or raise the MTU of the bridge and of what is on it",
                file=machines.pod.spec.idf_file,
                rule="bridge-mtu",
            )


def _check_memory(machines: DesiredMachines, plan: Plan, facts: HostFacts) -> list[Problem]:
    if not plan.creates(Kind.DOMAIN) and not plan.replaces(Kind.DOMAIN):
        return []
    wanted_mib = sum(domain.memory_mib for domain in machines.domains)
    if wanted_mib <= facts.memory_mib:
        return []
    return [
        Problem(
            message=f"the nodes want {wanted_mib} MiB of memory, the hypervisor has {facts.memory_mib} MiB",
            remedy="give the nodes less with --memory or in the PDF, or use a larger hypervisor",
            rule="memory",
        )
    ]


def _check_disk(machines: DesiredMachines, plan: Plan, free_bytes: int) -> list[Problem]:
    created = sum(change.kind == Kind.DOMAIN and change.action.value == "+" for change in plan.changes)
    needed = created * _OVERLAY_BYTES
    if free_bytes >= needed:
        return []
    return [
        Problem(
            message=f"{machines.pool_path} has {free_bytes / _GIB:.1f} GiB free, the nodes' disks need "
            f"{needed / _GIB:.0f} GiB to begin with",
            remedy="make room there, or put the state elsewhere with IECPOD_STATE_DIR",
            rule="disk-full",
        )
    ]
