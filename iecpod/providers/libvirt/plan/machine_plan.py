"""A POD on its hypervisor as it is to be, compared with what is there, and the phases that make it so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from iecpod.deploy.phases.reachable import ReachablePhase
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.deploy.workflow import Phase
from iecpod.design.changes import Drift, Plan, Replacement
from iecpod.design.deadline_factor import GuestSpeed, guest_speed_of
from iecpod.design.machines import Machine
from iecpod.design.owner import Owner
from iecpod.design.pod_design import PodDesign, PodOrder
from iecpod.design.preflight import check_pod
from iecpod.errors import Problem
from iecpod.naming import resource_name
from iecpod.options.choices import BundleVia, VirtType
from iecpod.ports import BaseImage, Images, Shell
from iecpod.provider import Table
from iecpod.providers.libvirt.dependencies import LibvirtTools
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.objects import HostFacts, Kind, ObservedResource
from iecpod.providers.libvirt.ownership import is_owned
from iecpod.providers.libvirt.phases import DomainsPhase, DomainToMake, ImagePhase, NetworksPhase, StoragePhase
from iecpod.providers.libvirt.plan.preflight import check_host
from iecpod.providers.libvirt.plan.replacement import plan_replacement
from iecpod.providers.libvirt.plan.tables import (
    interface_table,
    machine_of,
    network_table,
    settings_of,
    vlan_table,
)
from iecpod.providers.libvirt.ports import Hypervisor, HypervisorHost
from iecpod.providers.libvirt.rendered import Render, RenderedDomain, RenderedPod
from iecpod.providers.libvirt.xml import render_volume

_KVM_REMEDY = "KVM may be listed here and still not run guests: tear the POD down and try --virt-type qemu"
_TAKEN = "absent: an object that is not ours has its name or UUID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The hypervisor as it was when the plan was made, and what guests are to run with there."""

    facts: HostFacts
    observed: tuple[ObservedResource, ...]
    owner: Owner
    virt_type: VirtType


@dataclass(frozen=True, slots=True, kw_only=True)
class LibvirtPlan:
    """`MachinePlan`. `render` makes `rendered` of the POD's secrets."""

    order: PodOrder
    desired: DesiredMachines
    rendered: RenderedPod
    render: Render
    plan: Plan
    seen: Seen
    tools: LibvirtTools
    host: HypervisorHost
    hypervisor: Hypervisor

    @property
    def pod(self) -> PodDesign:
        return self.desired.pod

    @property
    def machines(self) -> tuple[Machine, ...]:
        return tuple(machine_of(domain) for domain in self.desired.domains)

    @property
    def guest_speed(self) -> GuestSpeed:
        return guest_speed_of(self.seen.virt_type)

    @property
    def virt_type(self) -> VirtType:
        return self.seen.virt_type

    @property
    def tables(self) -> tuple[Table, ...]:
        vlans = (vlan_table(self.desired),) if self.desired.vlan_links else ()
        return interface_table(self.desired), network_table(self.desired), *vlans

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        return settings_of(self.desired.domains[0], self.order.options.bundle_via, self.seen.facts)

    def problems(self, *, with_kubernetes: bool) -> tuple[Problem, ...]:
        return (
            *check_host(
                self.desired,
                self.plan,
                facts=self.seen.facts,
                observed=self.seen.observed,
                owner=self.seen.owner,
                routes=self.host.routes(),
                free_bytes=self.tools.free_bytes(self.desired.pool_path),
                no_vlan_links=self.host.vlan_links.problem(),
            ),
            *check_pod(self.pod, self.machines, with_kubernetes=with_kubernetes),
        )

    def states(self) -> Mapping[str, str]:
        domains = {seen.name: seen for seen in self._owned if seen.kind is Kind.DOMAIN}
        return {domain.hostname: _state(domains.get(domain.name)) for domain in self.desired.domains}

    def drift(self) -> tuple[Drift, ...]:
        return tuple(self._drifts())

    @property
    def surplus(self) -> tuple[str, ...]:
        return find_surplus(self._owned, self.order)

    def is_deployed(self) -> bool:
        return bool(self._owned)

    def replacement(self) -> Replacement:
        return plan_replacement(self.plan, self.desired.control_plane_domain)

    def keep_sources(self) -> None:
        for arch in self.desired.architectures:
            self._images.find(arch)

    def fetch_phases(self, tools: PhaseTools) -> Sequence[Phase]:
        images, archs = self._images, self.desired.architectures
        needed = self.plan.creates(Kind.DOMAIN)
        for arch in archs:
            if not needed and images.find(arch) is None:
                tools.reporter.warn(
                    f"the {arch.value} image that the disks of the nodes rest on is damaged or gone from the cache: "
                    f"nodes may fail, or not start again; `{tools.advice.command('redeploy')}` recreates it and them"
                )
        sources, via = self.tools.disk_sources, self.order.options.bundle_via
        disks = sources.bundle_disks(self.order.release) if via is BundleVia.DISK else None
        return [ImagePhase(images, archs, needed=needed, bundle_disks=disks)]

    def phases(self, shells: Mapping[str, Shell], tools: PhaseTools) -> Sequence[Phase]:
        domains = tuple(self._domain_to_make(domain) for domain in self.rendered.domains)
        remedy = _KVM_REMEDY if self.virt_type is VirtType.KVM else ""
        return [
            *self.phases_before_domains(),
            DomainsPhase(self.hypervisor, self._images, self.rendered.pool.name, domains, remedy),
            ReachablePhase(shells, tools),
        ]

    def phases_before_domains(self) -> Sequence[Phase]:
        """What domains need, wherever their disks come from."""
        return [
            NetworksPhase(self.hypervisor, self.rendered.networks, self.host.vlan_links, self.desired.vlan_links),
            StoragePhase(self.hypervisor, self.rendered.pool),
        ]

    @property
    def _images(self) -> Images:
        return self.tools.disk_sources.images(self.order.release, self.order.options.bundle_via)

    @property
    def _owned(self) -> list[ObservedResource]:
        return [seen for seen in self.seen.observed if is_owned(seen, self.seen.owner)]

    def _drifts(self) -> Iterator[Drift]:
        hostnames = {domain.name: domain.hostname for domain in self.desired.domains}
        planned = {(change.kind, change.name): change.drift for change in self.plan.changes}
        taken = {(wanted.kind.value, wanted.name): (_TAKEN,) for wanted in self.rendered.resources}
        for (kind, name), differences in {**taken, **planned}.items():
            if differences:
                node = hostnames.get(name, "") if kind == Kind.DOMAIN else ""
                yield Drift(kind=kind, name=name, node=node, differences=differences)

    def _domain_to_make(self, rendered: RenderedDomain) -> DomainToMake:
        domain = rendered.domain

        def render_root_volume(image: BaseImage) -> str:
            size = max(domain.root_bytes, image.virtual_size_bytes)
            return render_volume(domain.root_volume, size, str(image.path), image.format)

        return DomainToMake(
            resource=rendered.resource,
            arch=domain.arch,
            render_root_volume=render_root_volume,
            seed_volume=domain.seed_volume,
            make_seed=lambda: self.tools.seeds.make_seed(rendered.seed),
        )


def find_surplus(owned: Sequence[ObservedResource], order: PodOrder) -> tuple[str, ...]:
    """Host names of domains that belong to no node; `owned` are the POD's."""
    prefix = resource_name(order.spec.ref) + "-"
    found = [seen.name.removeprefix(prefix) for seen in owned if seen.kind is Kind.DOMAIN]
    return tuple(hostname for hostname in found if hostname not in order.hostnames)


def _state(domain: ObservedResource | None) -> str:
    if domain is None:
        return "absent"
    if domain.paused:
        return "paused"
    return "running" if domain.active else "off"
