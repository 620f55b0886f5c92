"""Domains made from a checkpoint: defined as the present plan has them, loaded paused, resumed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from iecpod.cache.qcow2 import virtual_size_bytes
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.workflow import Phase
from iecpod.errors import CommandFailed, HostError, NodeErrors
from iecpod.ports import Reporter
from iecpod.provider import MachineState
from iecpod.providers.libvirt.checkpoint.memory_file import decompressed_file, decompressed_memory
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.phases import find_inactive
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan
from iecpod.providers.libvirt.ports import Hypervisor
from iecpod.providers.libvirt.rendered import RenderedDomain
from iecpod.providers.libvirt.xml import render_volume


def restore_phases(planned: LibvirtPlan, states: Sequence[MachineState], reporter: Reporter) -> Sequence[Phase]:
    restored = RestoredDomainsPhase(planned, {state.hostname: state for state in states}, reporter)
    return [*planned.phases_before_domains(), restored]


@dataclass(frozen=True, slots=True)
class RestoredDomainsPhase:
    """As `DomainsPhase`: the definition comes last, so a domain that is defined has its disks."""

    planned: LibvirtPlan
    states: Mapping[str, MachineState]
    reporter: Reporter
    name: str = "domains"
    summary: str = "virtual machines, from the checkpoint"

    def probe(self) -> str | None:
        resources = tuple(rendered.resource for rendered in self.planned.rendered.domains)
        return None if find_inactive(self._hypervisor, resources) else f"{len(resources)} active"

    def run(self) -> None:
        there = {seen.name for seen in self._hypervisor.observe() if seen.kind is Kind.DOMAIN}
        for rendered in self.planned.rendered.domains:
            if rendered.resource.name not in there:
                self._define(rendered)
        if all(state.memory is not None for state in self.states.values()):
            self._load_all()
        for rendered in self.planned.rendered.domains:
            self._hypervisor.start(Kind.DOMAIN, rendered.resource.name)

    @property
    def _hypervisor(self) -> Hypervisor:
        return self.planned.hypervisor

    def _define(self, rendered: RenderedDomain) -> None:
        hypervisor, domain = self._hypervisor, rendered.domain
        state = self.states[domain.hostname]
        pool = self.planned.rendered.pool.name
        size = virtual_size_bytes(state.disk)
        hypervisor.create_volume(pool, render_volume(domain.root_volume, size, str(state.disk), "qcow2"))
        hypervisor.upload_volume(pool, domain.seed_volume, self.planned.tools.seeds.make_seed(rendered.seed))
        hypervisor.place_nvram(state.nvram, Path(domain.nvram_path))
        hypervisor.define(rendered.resource)

    def _load_all(self) -> None:
        """All or none: machines that were saved together do not fit to others that boot."""
        try:
            run_on_nodes(tuple(self.states), self._load)
        except (HostError, NodeErrors, CommandFailed) as error:
            for rendered in self.planned.rendered.domains:
                self._hypervisor.stop(rendered.resource.name)
            self.reporter.warn(
                f"the memory of the checkpoint cannot be loaded, so the machines boot from its disks: {error.cause}"
            )

    def _load(self, hostname: str) -> None:
        domain = next(domain for domain in self.planned.desired.domains if domain.hostname == hostname)
        memory = self.states[hostname].memory
        assert memory is not None
        place = Path(f"{domain.nvram_path}.memory")
        with closing(self.planned.host.connect()) as own:
            try:
                with decompressed_memory(memory, place):
                    own.load_state(domain.name, str(place))
            except HostError:
                # libvirt 10.0 opens it twice, and a pipe has its beginning only once.
                with decompressed_file(memory, place):
                    own.load_state(domain.name, str(place))
