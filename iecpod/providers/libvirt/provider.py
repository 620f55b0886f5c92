"""Machines of a POD as domains of one libvirt: iecpod's own (embedded), this host's, or another's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.workflow import Phase
from iecpod.design.machines import BundleDisk
from iecpod.design.pod_design import PodOrder, design_alone
from iecpod.errors import ImageError
from iecpod.hypervisor_uri import EMBEDDED, HypervisorUri
from iecpod.model import Arch
from iecpod.naming import resource_name
from iecpod.options.choices import BundleVia, ProviderName
from iecpod.ports import Images, NodeEndpoint, Reporter
from iecpod.provider import CheckpointInputs, LogSink, MachinePlan, MachineState, Removed
from iecpod.providers.libvirt.checkpoint.inputs import find_inputs
from iecpod.providers.libvirt.checkpoint.memory_file import compress_memory
from iecpod.providers.libvirt.checkpoint.restore import restore_phases
from iecpod.providers.libvirt.checkpoint.save import StateSaving
from iecpod.providers.libvirt.dependencies import LibvirtTools
from iecpod.providers.libvirt.design import HypervisorInputs, design_machines
from iecpod.providers.libvirt.objects import Kind, ObservedResource
from iecpod.providers.libvirt.ownership import is_owned
from iecpod.providers.libvirt.plan.compare import compare_links, make_plan
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan, Seen, find_surplus
from iecpod.providers.libvirt.plan.virt_type import assumed_virt_type, proven_virt_type
from iecpod.providers.libvirt.ports import Hypervisor, HypervisorHost
from iecpod.providers.libvirt.power import GuestPower
from iecpod.providers.libvirt.removal import Removal
from iecpod.providers.libvirt.rendered import render_pod
from iecpod.providers.libvirt.xml import Stamp
from iecpod.providers.phase_names import PHASE_NAMES
from iecpod.units import format_utc, parse_utc

_MIB = 1 << 20
_REFUSED_REMEDY = "cloud-init may still be at work; if it stays so, see the node's console with `iecpod console`"
_MISMATCH_REMEDY = (
    "another machine uses this address, or the node's disk is not the one deployed: find out which, or recreate the "
    "POD with `iecpod teardown` and `iecpod deploy`"
)


class LibvirtProvider:
    """`Provider`, `Power`, `Console` and `Checkpoints`."""

    def __init__(self, uri: HypervisorUri, tools: LibvirtTools) -> None:
        self._uri = uri
        self._tools = tools
        self._host: HypervisorHost | None = None
        self._connection: Hypervisor | None = None
        self._power: GuestPower | None = None
        self._began_at = format_utc(time.time())

    @property
    def phase_names(self) -> tuple[str, ...]:
        return PHASE_NAMES[ProviderName.LIBVIRT]

    @property
    def needs_state(self) -> bool:
        return self._uri == EMBEDDED

    @property
    def way(self) -> HypervisorHost:
        if self._host is None:
            self._host = self._tools.host(self._uri)
        return self._host

    def open(self, *, start: bool) -> None:
        self._host = self._tools.host(self._uri)  # whose owner is certain once the POD is noted
        if start:
            self._host.start()
        self._connection = self._host.connect()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def plan(self, order: PodOrder, *, prove: bool, keep_secrets: bool) -> LibvirtPlan:
        tools, hypervisor = self._tools, self.hypervisor
        facts, observed, owner = hypervisor.describe(), hypervisor.observe(), tools.run.owner
        images = tools.disk_sources.images(order.release, order.options.bundle_via)
        virt_type = proven_virt_type(order, facts, tools, images) if prove else assumed_virt_type(order, facts)
        ours = {seen.bridge for seen in observed if seen.kind is Kind.NETWORK and is_owned(seen, owner)}
        machines = design_machines(
            order,
            HypervisorInputs(
                facts=facts,
                lab_bridges=frozenset(facts.bridges) - ours,
                virt_type=virt_type,
                pod_dir=PurePosixPath(tools.run.pod_dir),
                bundle_disks=self._bundle_disks(order),
            ),
        )
        image_key = images.key if prove else partial(self._key_if_there, images)
        render = partial(
            render_pod,
            machines,
            partial(design_alone, order, machines.pod),
            stamp=self._stamp(),
            image_keys={arch: image_key(arch) for arch in machines.architectures},
            cloud_init_dir=tools.seeds.cloud_init_dir,
        )
        rendered = render(secrets=tools.seeds.secrets(order.hostnames, keep=keep_secrets))
        plan = make_plan(rendered.resources, observed, owner)
        links = compare_links(machines.vlan_links, self.way.vlan_links.find_missing(machines.vlan_links))
        plan = replace(plan, changes=(*plan.changes, *links))
        seen = Seen(facts=facts, observed=observed, owner=owner, virt_type=virt_type)
        return LibvirtPlan(
            order=order,
            desired=machines,
            rendered=rendered,
            render=render,
            plan=plan,
            seen=seen,
            tools=tools,
            host=self.way,
            hypervisor=hypervisor,
        )

    def endpoints(self, order: PodOrder) -> Mapping[str, NodeEndpoint]:
        host_keys = self._tools.seeds.secrets(order.hostnames, keep=True).host_keys
        return {
            hostname: NodeEndpoint(
                *(hostname, address, order.release.user, host_keys[hostname][1], self.way),
                refused_remedy=_REFUSED_REMEDY,
                mismatch_remedy=_MISMATCH_REMEDY,
            )
            for hostname, address in order.addresses.items()
        }

    def made_at(self) -> Iterator[float]:
        """Nothing where libvirt does not answer: the note of the last deploy has a time, too."""
        owner = self._tools.run.owner
        marks = [seen.mark for seen in self.hypervisor.observe() if seen.mark is not None and is_owned(seen, owner)]
        for mark in marks:
            with suppress(ValueError):  # pools and volumes carry no time
                yield parse_utc(mark.created)

    def remove(self) -> Removed:
        """Domains with their NVRAM, networks, pool and daemons; caches stay.

        What others have made of it (copies, or the same POD from another state directory) stays, and an embedded
        hypervisor with it.
        """
        removed = self._removal.remove_all()
        links = self.way.vlan_links.remove()
        removed = replace(removed, names=(*removed.names, *links))
        self.close()
        if removed.left or removed.keeps_state or (removed.kept and self._uri == EMBEDDED):
            return Removed(removed.names, removed.kept, removed.left, keeps_state=True)
        self.way.stop()
        return Removed(removed.names, removed.kept, self.way.leftovers())

    def remove_machines(self, names: Sequence[str]) -> Removed:
        return self._removal.remove_domains(names)

    def find_surplus(self, order: PodOrder) -> tuple[str, ...]:
        return find_surplus(self._owned(self.hypervisor), order)

    def remove_surplus(self, hostnames: Sequence[str]) -> Removed:
        """Volumes as well: they are not made again."""
        return self._removal.remove_machines(hostnames)

    def withdraw(self) -> None:
        self.close()
        self.way.stop()

    def find_stopped(self, hostnames: Sequence[str]) -> tuple[str, ...]:
        """A machine that is paused counts as running: it may be resumed, and whoever paused it need not mean us."""
        if self._power is None:
            domains = {hostname: resource_name(self._tools.run.ref, hostname) for hostname in hostnames}
            self._power = GuestPower(self.way, domains, self._tools.run.clock)
        return self._power.find_stopped()

    def read_console(self, hostname: str) -> str:
        return self._tools.read_console(str(self._tools.run.pod_dir / "console" / f"{hostname}.log"))

    def console_argv(self, hostname: str) -> list[str]:
        return ["virsh", "--connect", self.way.uri, "console", resource_name(self._tools.run.ref, hostname)]

    def checkpoint_inputs(self, planned: MachinePlan) -> CheckpointInputs:
        return find_inputs(_own(planned))

    def check_can_save(self, planned: MachinePlan) -> bool:
        return StateSaving(_own(planned)).check()

    def save_states(self, planned: MachinePlan, label: str, states: Sequence[MachineState]) -> float:
        return StateSaving(_own(planned)).save(label, states)

    def compress_states(self, states: Sequence[MachineState]) -> None:
        memories = {state.hostname: state.memory for state in states if state.memory is not None}
        run_on_nodes(tuple(memories), lambda hostname: compress_memory(memories[hostname]))

    def restore_phases(
        self, planned: MachinePlan, states: Sequence[MachineState], reporter: Reporter
    ) -> Sequence[Phase]:
        return restore_phases(_own(planned), states, reporter)

    def collect_logs(self, sink: LogSink) -> None:
        embedded = self._tools.run.pod_dir / "libvirt"
        if embedded.exists():
            sink.add_tree("libvirt/log", embedded / "log", "**/*", 8 * _MIB)
            sink.add_tree("libvirt/etc", embedded / "etc", "**/*.xml", _MIB)
        with sink.attempt("libvirt/xml"):
            hypervisor = self.way.connect()
            try:
                self._collect_objects(sink, hypervisor)
            finally:
                hypervisor.close()

    def _collect_objects(self, sink: LogSink, hypervisor: Hypervisor) -> None:
        ours = [seen for seen in self._owned(hypervisor) if seen.kind is not Kind.VOLUME]
        if not ours:
            sink.miss("libvirt/xml", "the hypervisor has no object of the POD")
        for seen in ours:
            name = f"libvirt/xml/{seen.kind.value}-{seen.name}.xml"
            with sink.attempt(name):
                sink.add(name, hypervisor.dump(seen).encode())

    def _owned(self, hypervisor: Hypervisor) -> list[ObservedResource]:
        owner = self._tools.run.owner
        return [seen for seen in hypervisor.observe() if is_owned(seen, owner)]

    @property
    def hypervisor(self) -> Hypervisor:
        assert self._connection is not None, "open comes first"
        return self._connection

    @property
    def _removal(self) -> Removal:
        return Removal(self.hypervisor, self._tools.run.owner, self._tools.run.reporter)

    def _stamp(self) -> Stamp:
        """Marks what this run makes."""
        return Stamp(self._tools.run.ref, self._tools.run.run_id, self._began_at, self._tools.run.owner.installation)

    def _key_if_there(self, images: Images, arch: Arch) -> str:
        """A look needs no image: one that is not available is another than that of the deploy."""
        try:
            return images.key(arch)
        except ImageError as error:
            self._tools.run.reporter.warn(error.cause)
            return ""

    def _bundle_disks(self, order: PodOrder) -> dict[Arch, BundleDisk]:
        if order.options.bundle_via is not BundleVia.DISK:
            return {}
        disks = self._tools.disk_sources.bundle_disks(order.release)
        return {arch: disks.disk(arch) for arch in {node.arch for node in order.spec.pdf.nodes}}


def _own(planned: MachinePlan) -> LibvirtPlan:
    assert isinstance(planned, LibvirtPlan), "a provider is given the plans that it made"
    return planned
