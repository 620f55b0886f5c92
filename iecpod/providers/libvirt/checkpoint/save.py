"""Saves all domains of a POD at one instant: they are paused, memory and disks are taken, and they run on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from iecpod.cache.qcow2 import find_chain, virtual_size_bytes
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.errors import HostError, PreflightError, Problem
from iecpod.provider import MachineState
from iecpod.providers.libvirt.checkpoint.guard import resumed_if_killed
from iecpod.providers.libvirt.design import overlay_name
from iecpod.providers.libvirt.objects import Kind, ObservedResource
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan
from iecpod.providers.libvirt.ports import Hypervisor
from iecpod.providers.libvirt.xml import render_volume

#: A guest looks for each block in one layer after the other; deeper chains are flattened before another one is added.
MOST_LAYERS = 4


@dataclass(frozen=True, slots=True)
class StateSaving:
    planned: LibvirtPlan

    def check(self) -> bool:
        """Whether they run. Raises `PreflightError`: what is saved together must have been at work together."""
        states = self.planned.states()
        if len(set(states.values())) == 1 and not {"absent", "paused"} & set(states.values()):
            return "running" in states.values()
        problems = [
            Problem(
                path=f"domain of {hostname}",
                message=f"it is {state}, and all machines of a POD are saved at one instant",
                remedy="`iecpod deploy` starts what is off or paused",
                rule="checkpoint-machines",
            )
            for hostname, state in states.items()
            if state != "running"
        ]
        raise PreflightError(problems, "the POD cannot be saved")

    def save(self, label: str, states: Sequence[MachineState]) -> float:
        is_running = self.check()
        domains = {name: seen for name, seen in self._domains().items() if name in {s.hostname for s in states}}
        self._flatten(domains)
        names = [domain.name for domain in domains.values()]
        clock = self.planned.tools.run.clock
        pool = Path(self.planned.desired.pool_path)
        overlays = {state.hostname: pool / overlay_name(state.hostname, label) for state in states}
        try:
            for state in states:
                self._add_overlay(overlays[state.hostname], domains[state.hostname], state)
            began_at = clock.now()
            with self._paused(names) if is_running else _nothing():
                self._save_at_once(states, overlays)
        except BaseException:
            with suppress(HostError):  # the first error is the one that matters
                self._drop_unused(states, overlays)
            raise
        paused_seconds = clock.now() - began_at if is_running else 0.0
        for state in states:
            self._hypervisor.seal(state.disk)
        return paused_seconds

    @property
    def _hypervisor(self) -> Hypervisor:
        return self.planned.hypervisor

    def _domains(self) -> dict[str, ObservedResource]:
        """By host name, as they are now."""
        seen = {found.name: found for found in self._hypervisor.observe() if found.kind is Kind.DOMAIN}
        return {domain.hostname: seen[domain.name] for domain in self.planned.desired.domains}

    def _flatten(self, domains: dict[str, ObservedResource]) -> None:
        for domain in domains.values():
            chain = list(find_chain(_root_disk(domain)))
            if len(chain) > MOST_LAYERS and domain.active:
                self.planned.tools.run.reporter.progress(f"flattening the disk of {domain.name}: {len(chain)} layers")
                self._hypervisor.pull(domain.name, str(chain[-1]))

    def _add_overlay(self, overlay: Path, domain: ObservedResource, state: MachineState) -> None:
        """Gives the present disk a second name, in the cache, and makes the disk that is written from then on."""
        present = _root_disk(domain)
        try:
            os.link(present, state.disk)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise HostError(
                f"{present} and {state.disk.parent} are on different file systems, and a checkpoint copies no disks",
                "keep state and cache on one file system (-S, or IECPOD_STATE_DIR and IECPOD_CACHE_DIR)",
            ) from error
        xml = render_volume(overlay.name, virtual_size_bytes(present), str(state.disk), "qcow2")
        self._hypervisor.create_volume(self.planned.rendered.pool.name, xml)

    def _drop_unused(self, states: Sequence[MachineState], overlays: Mapping[str, Path]) -> None:
        """New disks that no domain went over to, and second names of those that domains kept."""
        domains = self._domains()
        unused = {name: path for name, path in overlays.items() if str(path) not in domains[name].disks}
        volumes = {f"{self.planned.rendered.pool.name}/{path.name}" for path in unused.values()}
        for seen in self._hypervisor.observe():
            if seen.kind is Kind.VOLUME and seen.name in volumes:
                self._hypervisor.remove(seen)
        for state in states:
            if state.hostname in unused:
                state.disk.unlink(missing_ok=True)

    def _save_at_once(self, states: Sequence[MachineState], overlays: dict[str, Path]) -> None:
        domains = {domain.hostname: domain for domain in self.planned.desired.domains}
        by_name = {state.hostname: state for state in states}

        def save(hostname: str) -> None:
            state = by_name[hostname]
            shutil.copyfile(domains[hostname].nvram_path, state.nvram)
            state.nvram.chmod(0o600)
            memory = str(state.memory) if state.memory else None
            with closing(self.planned.host.connect()) as own:
                own.save_state(domains[hostname].name, str(overlays[hostname]), memory)

        try:
            run_on_nodes(tuple(by_name), save)
        except BaseException:
            # Before the machines run on: one that finds no space for what it writes is paused.
            for memory in filter(None, (state.memory for state in states)):
                memory.unlink(missing_ok=True)
            raise

    @contextmanager
    def _paused(self, names: Sequence[str]) -> Iterator[None]:
        with resumed_if_killed(self.planned.host.uri, names):
            try:
                for name in names:
                    self._hypervisor.pause(name)
                yield
            finally:
                self._resume(names)

    def _resume(self, names: Sequence[str]) -> None:
        """All that can be; the first error is raised afterwards."""
        errors = []
        for name in names:
            try:
                self._hypervisor.start(Kind.DOMAIN, name)
            except HostError as error:
                errors.append(error)
        if errors:
            raise errors[0]


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _root_disk(domain: ObservedResource) -> Path:
    return Path(domain.disks[0])
