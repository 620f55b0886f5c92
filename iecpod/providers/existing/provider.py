"""Machines of a POD that have their operating system already: iecpod logs in, records, prepares, and puts back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.cluster import DesiredCluster
from iecpod.design.pod_design import PodOrder, design_pod
from iecpod.errors import (
    CleanupError,
    HostKeyMismatch,
    IecpodError,
    LoginRefused,
    NodeError,
    NodeErrors,
    NodeUnreachable,
    Problem,
    WaitTimeout,
)
from iecpod.options.choices import ProviderName, VirtType
from iecpod.ports import NodeEndpoint, Shell, WayIn
from iecpod.provider import LogSink, Removed
from iecpod.providers.existing.dependencies import ExistingTools
from iecpod.providers.existing.first_login import open_shell
from iecpod.providers.existing.machine_plan import ExistingPlan
from iecpod.providers.existing.machine_rules import Candidate
from iecpod.providers.existing.node_facts import FACTS_SECONDS, NodeFacts, gather_facts
from iecpod.providers.existing.nodes import MetMachines
from iecpod.providers.existing.paths import check_paths
from iecpod.providers.existing.refused_logins import attempt_on_nodes, login_problems
from iecpod.providers.existing.restore.removal import Restored, restore_nodes
from iecpod.providers.phase_names import PHASE_NAMES

#: For who only looks: `status` says `unknown` of a node that is too busy to answer.
_GLANCE_SECONDS = 90.0


class ExistingProvider:
    """`Provider` and `Reset`."""

    def __init__(self, tools: ExistingTools) -> None:
        self._tools = tools
        self._met = MetMachines(tools)
        self._shells: dict[str, Shell] = {}

    @property
    def phase_names(self) -> tuple[str, ...]:
        return PHASE_NAMES[ProviderName.EXISTING]

    @property
    def needs_state(self) -> bool:
        return True

    @property
    def way(self) -> WayIn:
        return self._tools.access.direct_way

    def open(self, *, start: bool) -> None:
        """Connections are made as they are needed."""

    def close(self) -> None:
        for shell in self._shells.values():
            shell.close()
        self._shells.clear()

    def plan(self, order: PodOrder, *, prove: bool, keep_secrets: bool) -> ExistingPlan:
        """With `prove`, a machine that does not answer is a problem, and the ways between machines are tried."""
        refused: dict[str, IecpodError] = {}
        if prove:
            refused = self._met.meet(order.addresses, order.release.user, keep=keep_secrets)
            met = [name for name in order.hostnames if name not in refused]
            facts, silent = attempt_on_nodes(met, self._gather)
            refused |= silent
        else:
            facts = {name: found for name, found in self._gather_if_there(order).items() if found is not None}
        virt_type = order.options.virt_type or _virt_type(facts)
        pod = design_pod(order, low_overhead=virt_type is VirtType.QEMU)
        closed = self._check_paths(pod.cluster, facts) if prove and self._can_check_paths(facts) else ()
        return ExistingPlan(
            order=order,
            pod=pod,
            facts=facts,
            problems_found=(*login_problems(refused), *closed),
            virt_type=virt_type,
            tools=self._tools,
            met=self._met,
        )

    def endpoints(self, order: PodOrder) -> Mapping[str, NodeEndpoint]:
        return self._met.endpoints(order.hostnames)

    def made_at(self) -> Iterator[float]:
        """The note of the last deploy says it."""
        return iter(())

    def remove(self) -> Removed:
        """Puts every machine back that was changed; the machines themselves stay.

        A machine that does not answer is unknown, and keeps the POD's directory, as does one that cannot be put back.
        """
        return self._put_back(self._changed())

    def reset(self, order: PodOrder) -> Removed:
        return self._put_back(self._changed(), kept=frozenset(order.hostnames))

    def _changed(self) -> tuple[str, ...]:
        return tuple(name for name, met in self._met.all().items() if met.is_changed)

    def find_surplus(self, order: PodOrder) -> tuple[str, ...]:
        return self._met.surplus(order.hostnames)

    def remove_surplus(self, hostnames: Sequence[str]) -> Removed:
        """Raises `CleanupError` where a machine is not as it was before."""
        removed = self._put_back(tuple(hostnames))
        if removed.left:
            raise CleanupError(removed.left, "run the same command again", "removing nodes left behind")
        return removed

    def _put_back(self, changed: tuple[str, ...], kept: frozenset[str] = frozenset()) -> Removed:
        """Those that are `kept` stay known here, and this POD there."""
        shells, not_opened = self._open(changed)
        restored = restore_nodes(shells, self._tools.run.owner, self._tools.run.reporter, kept)
        self.close()
        restored = Restored({**not_opened.left, **restored.left}, {**not_opened.unknown, **restored.unknown})
        clean = tuple(name for name in changed if name not in restored.left and name not in restored.unknown)
        if forgotten := tuple(name for name in clean if name not in kept):
            self._met.forget(forgotten)
        left = restored.listed()
        return Removed(tuple(f"node {name}" for name in clean), left=left, keeps_state=bool(left or kept))

    def remove_machines(self, names: Sequence[str]) -> Removed:
        """Machines of others are never recreated."""
        return Removed(())

    def withdraw(self) -> None:
        self.close()

    def collect_logs(self, sink: LogSink) -> None:
        sink.miss("machines", "machines that have their operating system already are not iecpod's; `nodes` has theirs")

    def _check_paths(self, cluster: DesiredCluster, facts: Mapping[str, NodeFacts]) -> tuple[Problem, ...]:
        """A node that cannot even be asked is a problem like a way that is closed."""
        shells = {name: self._shells[name] for name in facts}
        try:
            return check_paths(shells, cluster, {name: found.udp_ports or frozenset() for name, found in facts.items()})
        except NodeErrors as errors:
            return login_problems(errors.failures)
        except NodeError as error:
            return login_problems({error.node: error})

    def _can_check_paths(self, facts: Mapping[str, NodeFacts]) -> bool:
        """Whether there is what it takes, and a node that is not the POD's yet; other problems say what is missing."""
        owner = self._tools.run.owner
        is_able = all(found.has_systemd and "perl" in found.programs for found in facts.values())
        return is_able and not all(Candidate.has_record_of(found, owner, name) for name, found in facts.items())

    def _gather(self, name: str, seconds: float = FACTS_SECONDS) -> NodeFacts:
        shell = self._shells.get(name)
        if shell is None:
            shell = self._shells[name] = self._open_one(name)
        return gather_facts(shell, self._tools.wall_time, seconds)

    def _gather_if_there(self, order: PodOrder) -> dict[str, NodeFacts | None]:
        def attempt(name: str) -> NodeFacts | None:
            with suppress(IecpodError):
                return self._gather(name, _GLANCE_SECONDS)
            return None

        known = [name for name in order.hostnames if name in self._met.all()]
        return run_on_nodes(known, attempt)

    def _open(self, names: Sequence[str]) -> tuple[dict[str, Shell], Restored]:
        """Shells of those that let us in, and why the others do not: of some nothing is known, some refuse."""
        silent: dict[str, str] = {}
        refused: dict[str, tuple[str, ...]] = {}

        def attempt(name: str) -> Shell | None:
            try:
                return self._open_one(name)
            except IecpodError as error:
                why = error.cause.removeprefix(f"{name}: ")
                answers = isinstance(error, (LoginRefused, HostKeyMismatch))
                if isinstance(error, (NodeUnreachable, WaitTimeout)) and not answers:
                    silent[name] = why
                else:
                    refused[name] = (why,)
                return None

        opened = {name: shell for name, shell in run_on_nodes(names, attempt).items() if shell is not None}
        self._shells |= opened
        return opened, Restored(left=refused, unknown=silent)

    def _open_one(self, name: str) -> Shell:
        return open_shell(self._tools, self._met.endpoints((name,))[name])


def _virt_type(facts: Mapping[str, NodeFacts]) -> VirtType | None:
    """Emulated where any machine is: the slowest sets the deadlines."""
    kinds = {found.virtualization for found in facts.values()}
    if "qemu" in kinds:
        return VirtType.QEMU
    return VirtType.KVM if kinds == {"kvm"} else None
