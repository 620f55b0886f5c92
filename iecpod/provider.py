"""The port to those who give a POD its machines; ARCHITECTURE.md compares the ways ("Providers")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.deploy.workflow import Phase
from iecpod.design.changes import Drift, Plan, Replacement
from iecpod.design.deadline_factor import GuestSpeed
from iecpod.design.machines import Machine
from iecpod.design.pod_design import PodDesign, PodOrder
from iecpod.errors import CleanupError, Problem
from iecpod.options.choices import VirtType
from iecpod.ports import NodeEndpoint, Reporter, Shell, WayIn


@dataclass(frozen=True, slots=True)
class Table:
    """A section of `iecpod plan`."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """`name` is `kind name` of something that only seems to be the POD's; `why` continues a sentence after `which`."""

    name: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Removed:
    """`kind name` of each object that was removed, and what was kept, each with the reason.

    `left` is what should have been removed and is still there. Where `keeps_state`, the POD's directory is needed yet.
    """

    names: tuple[str, ...]
    kept: tuple[Kept, ...] = ()
    left: tuple[str, ...] = ()
    keeps_state: bool = False

    def check(self) -> None:
        """Raises `CleanupError` where something stays that has the marks or names of the POD."""
        if self.kept:
            left = [f"{kept.name}, which {kept.why}" for kept in self.kept]
            raise CleanupError(left, "; ".join(dict.fromkeys(kept.remedy for kept in self.kept)))


class LogSink(Protocol):
    """An archive of logs, which scrubs what it is given."""

    def add(self, name: str, content: bytes) -> None: ...

    def add_tree(self, name: str, directory: Path, pattern: str, most_bytes: int) -> None:
        """The ends of the files below a directory."""

    def miss(self, name: str, why: str) -> None: ...

    def attempt(self, name: str) -> AbstractContextManager[None]:
        """What goes wrong in the block is listed as missing."""


class MachinePlan(Protocol):
    """A POD as it is to be, compared with what is there; nothing is made before its phases run."""

    @property
    def pod(self) -> PodDesign: ...

    @property
    def machines(self) -> tuple[Machine, ...]:
        """In the order of the PDF's nodes."""

    @property
    def plan(self) -> Plan: ...

    @property
    def guest_speed(self) -> GuestSpeed:
        """How fast the machines are, as far as it is known."""

    @property
    def virt_type(self) -> VirtType | None:
        """None where machines are not virtual, or where that is unknown."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """What `iecpod plan` shows of the provider's own objects."""

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """What `iecpod plan` says of the machines as a whole, as rows of a name and a text."""

    def problems(self, *, with_kubernetes: bool) -> tuple[Problem, ...]:
        """Every reason why the plan cannot be carried out; `with_kubernetes` unless machines are all that is wanted."""

    def states(self) -> Mapping[str, str]:
        """`running`, `paused`, `off` or `absent`, by host name."""

    def drift(self) -> tuple[Drift, ...]:
        """In the order in which objects are made; those that are no longer wanted come last."""

    @property
    def surplus(self) -> tuple[str, ...]:
        """Host names of machines that are there, are the POD's, and belong to no node any more."""

    def is_deployed(self) -> bool:
        """Whether anything of the POD is there."""

    def replacement(self) -> Replacement:
        """What has to go before only that which differs is made again."""

    def keep_sources(self) -> None:
        """What machines are made of, and is there, stays there while this process runs."""

    def fetch_phases(self, tools: PhaseTools) -> Sequence[Phase]:
        """What machines are made of. Once one of them has done something, the plan has to be made again."""

    def phases(self, shells: Mapping[str, Shell], tools: PhaseTools) -> Sequence[Phase]:
        """From what is there to nodes that take commands as root."""


class Provider(Protocol):
    """Gives one POD its machines. `open` comes before all but `endpoints` and `way`, and `close` after."""

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Its own phases, in order: what is fetched, and what leads to nodes that take commands as root."""

    @property
    def needs_state(self) -> bool:
        """Whether nothing of the POD can be where its directory is not."""

    @property
    def way(self) -> WayIn: ...

    def open(self, *, start: bool) -> None:
        """Connects. `start` makes available first what is iecpod's own. Raises `HostError` and its kin."""

    def close(self) -> None: ...

    def plan(self, order: PodOrder, *, prove: bool, keep_secrets: bool) -> MachinePlan:
        """Looks, designs and compares.

        With `prove` what a provider says that it can do is tried; else a plan costs no more than a look. Keys that are
        missing are made, and written down only with `keep_secrets`.
        """

    def endpoints(self, order: PodOrder) -> Mapping[str, NodeEndpoint]:
        """By host name, in the order of the PDF's nodes."""

    def made_at(self) -> Iterable[float]:
        """Unix times at which what is there of the POD was made, as far as marks say it."""

    def remove(self) -> Removed:
        """Removes everything that is marked as the POD's. Raises `HostError` where not everybody answers."""

    def remove_machines(self, names: Sequence[str]) -> Removed:
        """Removes some machines by name: those of a `Replacement`, to be made again."""

    def find_surplus(self, order: PodOrder) -> tuple[str, ...]:
        """As `MachinePlan.surplus`, as it is now."""

    def remove_surplus(self, hostnames: Sequence[str]) -> Removed:
        """Removes the machines of nodes that are no longer in the PDF, with all that only they need."""

    def withdraw(self) -> None:
        """Undoes what `open` started."""

    def collect_logs(self, sink: LogSink) -> None:
        """The provider's own logs and definitions; works without `open`."""


@runtime_checkable
class Power(Protocol):
    """A provider that knows whether machines run."""

    def find_stopped(self, hostnames: Sequence[str]) -> tuple[str, ...]:
        """Those that do not run any more, seen some seconds ago at most; none where the provider does not answer."""


@runtime_checkable
class Reset(Protocol):
    """A provider of machines that stay, and are deployed again without another first login."""

    def reset(self, order: PodOrder) -> Removed:
        """As `remove`, but machines of nodes of `order` keep their record and the POD's key."""


@runtime_checkable
class Console(Protocol):
    """A provider whose machines have a serial console."""

    def read_console(self, hostname: str) -> str:
        """The end of what the machine has printed; empty where it has printed nothing yet."""

    def console_argv(self, hostname: str) -> list[str]:
        """A program of this host that attaches to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """Where the state of one machine is: `disk` is its root disk, which is only read once it was saved.

    `memory` None is that of a machine that was off, or that is to boot.
    """

    hostname: str
    memory: Path | None
    nvram: Path
    disk: Path


#: The input that decides what machines hold, and not which they are.
INSIDE = "configuration of kubeadm"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInputs:
    """Digests by name of all that decides a POD, secrets left out; `memory` is what must be equal to load memory."""

    deploy: Mapping[str, str]
    memory: Mapping[str, str]


@runtime_checkable
class Checkpoints(Protocol):
    """A provider that saves all machines of its POD at one instant, and makes them from that again."""

    def checkpoint_inputs(self, planned: MachinePlan) -> CheckpointInputs: ...

    def check_can_save(self, planned: MachinePlan) -> bool:
        """Whether the machines run, so that they have memory. Raises `PreflightError` where some do and some do not."""

    def save_states(self, planned: MachinePlan, label: str, states: Sequence[MachineState]) -> float:
        """Writes memory and NVRAM to new files, and makes the present disk of each machine the file `disk`, too.

        Machines that ran run on afterwards, however it ends; returns for how many seconds they were paused. `label` is
        part of the names of their new disks. Raises `HostError` and its kin.
        """

    def compress_states(self, states: Sequence[MachineState]) -> None:
        """Turns what `save_states` wrote into what `restore_phases` reads; the machines run meanwhile.

        Raises `IecpodError`.
        """

    def restore_phases(
        self, planned: MachinePlan, states: Sequence[MachineState], reporter: Reporter
    ) -> Sequence[Phase]:
        """Machines that run; those that are missing are made from the states.

        Where memory cannot be loaded, all of them boot from their disks, and a warning says so.
        """
