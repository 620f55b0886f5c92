"""A POD on machines that are there: what they are like, what keeps them from being its nodes, what will be changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.deploy.workflow import Phase
from iecpod.design.changes import Action, Change, Drift, Plan, Replacement
from iecpod.design.deadline_factor import GuestSpeed, guest_speed_of
from iecpod.design.machines import Machine
from iecpod.design.pod_design import PodDesign, PodOrder
from iecpod.design.preflight import check_pod, check_pod_cidrs
from iecpod.errors import Problem
from iecpod.model import Arch
from iecpod.options.choices import VirtType
from iecpod.ports import Shell
from iecpod.provider import Table
from iecpod.providers.existing.dependencies import ExistingTools
from iecpod.providers.existing.first_login import LoginPhase
from iecpod.providers.existing.machine_rules import Candidate
from iecpod.providers.existing.node_changes import NodeChanges, planned_changes
from iecpod.providers.existing.node_facts import NodeFacts
from iecpod.providers.existing.node_preparation import PreparePhase
from iecpod.providers.existing.nodes import MetMachines
from iecpod.providers.existing.preflight import check_nodes, taken_networks
from iecpod.release.scenario import Role

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingPlan:
    """`MachinePlan`. `facts` has the nodes that answered; `problems_found` are refused logins and closed ways."""

    order: PodOrder
    pod: PodDesign
    facts: Mapping[str, NodeFacts]
    problems_found: tuple[Problem, ...]
    virt_type: VirtType | None
    tools: ExistingTools
    met: MetMachines

    @property
    def machines(self) -> tuple[Machine, ...]:
        return tuple(self._machine(index, name) for index, name in enumerate(self.order.hostnames))

    @property
    def plan(self) -> Plan:
        gone = "has left the PDF: it is put back as it was"
        surplus = (Change(Action.REMOVE, "node", name, gone) for name in self.surplus)
        return Plan(changes=(*map(self._change, self.order.hostnames), *surplus), conflicts=())

    @property
    def guest_speed(self) -> GuestSpeed:
        return guest_speed_of(self.virt_type or VirtType.KVM)

    @property
    def tables(self) -> tuple[Table, ...]:
        rows = []
        for node in self.pod.cluster.nodes:
            facts = self.facts.get(node.hostname)
            link = facts.link_of(node.address) if facts else None
            device = f"{link.name}, MTU {link.mtu}" if link else "-"
            seen = (facts.hostname, facts.os_title, facts.kernel) if facts else ("-", "-", "-")
            rows.append((node.hostname, *seen, str(node.address), device))
        return (Table("Machines", ("NODE", "HOSTNAME", "SYSTEM", "KERNEL", "ADDRESS", "INTERFACE"), tuple(rows)),)

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        users = {endpoint.user for endpoint in self.met.endpoints(self.order.hostnames).values()}
        on = [f"{swap.device} of {name}" for name, facts in self.facts.items() for swap in facts.swaps or ()]
        return (
            ("machines", "have their operating system already, and keep it"),
            ("login", f"as {', '.join(sorted(users)) or self.order.release.user}, with the POD's key"),
            *((("swap", f"off while the POD is there: {', '.join(on)}"),) if on else ()),
        )

    def problems(self, *, with_kubernetes: bool) -> tuple[Problem, ...]:
        archs = {machine.hostname: machine.arch for machine in self.machines}
        cluster, owner = self.pod.cluster, self.tools.run.owner
        taken = [network for network in taken_networks(self.facts, cluster, owner) if network.cidr != cluster.mgmt_cidr]
        return (
            *check_nodes(self.facts, cluster, archs, owner),
            *self.problems_found,
            *check_pod_cidrs(self.pod, taken),
            # What kubeadm requires of the first node is checked by `check_nodes`, of the machine itself.
            *check_pod(self.pod, self.machines, with_kubernetes=False),
        )

    def states(self) -> Mapping[str, str]:
        return {name: self._state(name) for name in self.order.hostnames}

    def drift(self) -> tuple[Drift, ...]:
        """Nothing of a machine is the POD's design."""
        return ()

    @property
    def surplus(self) -> tuple[str, ...]:
        return self.met.surplus(self.order.hostnames)

    def is_deployed(self) -> bool:
        return any(self._is_ours(name) for name in self.order.hostnames)

    def replacement(self) -> Replacement:
        """A machine is never recreated."""
        return Replacement()

    def keep_sources(self) -> None: ...

    def fetch_phases(self, tools: PhaseTools) -> Sequence[Phase]:
        return ()

    def phases(self, shells: Mapping[str, Shell], tools: PhaseTools) -> Sequence[Phase]:
        return [
            LoginPhase(self.tools, self.met, shells, tools.node_times, tools.reporter, tools.waits),
            PreparePhase(
                self.pod,
                self.tools.run.owner,
                shells,
                self._planned_changes,
                tools.node_times,
                tools.reporter,
                tools.waits,
            ),
        ]

    def _planned_changes(self) -> dict[str, NodeChanges]:
        """A bundle that is not cached is made here, since what it brings is what will be changed."""
        release = self.order.release
        archs = {machine.hostname: machine.arch for machine in self.machines}
        kinds = {node.hostname: (archs[node.hostname], node.role) for node in self.pod.cluster.nodes}
        changes: dict[tuple[Arch, Role], NodeChanges] = {}
        for arch, role in set(kinds.values()):
            brings = self.tools.bundle(release, arch, role) if release.needs_no_network else None
            changes[arch, role] = planned_changes(
                self.pod.cluster,
                self.pod.supply,
                debs=[path.name for path in brings.debs] if brings else (),
                programs=[path.name for path in brings.programs] if brings else (),
            )
        return {hostname: changes[kind] for hostname, kind in kinds.items()}

    def _machine(self, index: int, name: str) -> Machine:
        node, facts = self.order.spec.pdf.nodes[index], self.facts.get(name)
        known_mib = facts.memory_mib if facts else None
        return Machine(
            hostname=name,
            name=f"node {name}",
            arch=node.arch,
            vcpus=(facts.cpus if facts else None) or node.cpus * node.cores,
            memory_mib=known_mib or node.memory_bytes // _MIB,
            disk_bytes=(facts.free_mib or 0) * _MIB if facts else 0,
            description=f"{facts.os_title}, user {self._user(name)}" if facts else "does not answer",
        )

    def _user(self, name: str) -> str:
        endpoint = self.met.endpoints((name,)).get(name)
        return endpoint.user if endpoint else self.order.release.user

    def _change(self, name: str) -> Change:
        if name not in self.facts:
            return Change(Action.KEEP, "node", name, "unknown: it does not answer")
        if self._is_ours(name):
            return Change(Action.KEEP, "node", name, "recorded; the cluster's phases look at the rest")
        return Change(Action.CREATE, "node", name, "is recorded as it is, then prepared; it keeps its operating system")

    def _state(self, name: str) -> str:
        if name not in self.facts:
            return "unknown"
        return "running" if self._is_ours(name) else "absent"

    def _is_ours(self, name: str) -> bool:
        facts = self.facts.get(name)
        node = next(node for node in self.pod.cluster.nodes if node.hostname == name)
        return facts is not None and Candidate.has_record_of(facts, self.tools.run.owner, node.hostname)
