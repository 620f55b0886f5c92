"""`iecpod checkpoint save`: all machines of a POD at one instant, with the keys and notes of the POD."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from iecpod.cache.qcow2 import find_chain
from iecpod.checkpoints.checkpoint_store import CheckpointStore, Kept, NewCheckpoint
from iecpod.checkpoints.digests import stored_files
from iecpod.checkpoints.manifest import Checkpoint, CheckpointMachine, StoredFile
from iecpod.deploy.node.guest_instant import prepare_nodes, settle_nodes
from iecpod.design.changes import Action
from iecpod.errors import HostError, IecpodError, PreflightError, Problem, UsageError
from iecpod.files.reader import read_own
from iecpod.files.writer import sync_path
from iecpod.model import PodRef
from iecpod.outside_json import parse_json
from iecpod.pods.checkpoint_choice import checkpoints_of
from iecpod.pods.checkpoint_files import own_file, take_files
from iecpod.pods.directory import REPORT
from iecpod.pods.ports import PodTools
from iecpod.pods.resolve import PodInputs
from iecpod.ports import Shell
from iecpod.provider import CheckpointInputs, Checkpoints, MachinePlan, MachineState, Provider
from iecpod.results import FAILED
from iecpod.units import format_utc


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """`paused_seconds` is how long the machines stood still."""

    checkpoint: Checkpoint
    size_bytes: int
    paused_seconds: float


def checkpoints_provider(provider: Provider) -> Checkpoints:
    """Raises `UsageError` where machines cannot be saved."""
    if isinstance(provider, Checkpoints):
        return provider
    raise UsageError(
        "the provider of this POD's machines cannot save them", "checkpoints are of PODs of virtual machines"
    )


def save_checkpoint(
    inputs: PodInputs, tools: PodTools, store: CheckpointStore, installation: str, name: str
) -> SavedCheckpoint:
    """The POD runs on. Nothing is left of a save that fails; one that was killed is swept by the next command.

    Raises `UsageError` for a POD that was not deployed, `PreflightError` for one that cannot be saved as it is.
    """
    if not tools.state.saved().is_noted:
        raise UsageError(f"POD {tools.run.ref} is not deployed from here", "deploy it first")
    if not name:
        _check_verified(tools)
    if name and any(one.name == name for one in checkpoints_of(store, tools.run.ref)):
        raise UsageError(f"POD {tools.run.ref} has a checkpoint {name!r}", "remove it, or choose another name")
    provider = tools.nodes.provider(inputs.order.site)
    saving = checkpoints_provider(provider)
    provider.open(start=True)
    try:
        planned = provider.plan(inputs.order, prove=True, keep_secrets=True)
        _check_as_planned(tools.run.ref, planned)
        is_running = saving.check_can_save(planned)
        shells = tools.nodes.shells(provider.endpoints(inputs.order)) if is_running else {}
        run = _Save(inputs, tools, store, installation, name, planned, saving, shells)
        return run.save()
    finally:
        provider.close()


def _check_verified(tools: PodTools) -> None:
    """Raises `UsageError` where the POD is not what a whole deploy makes: `redeploy` would take it for that."""
    path = tools.state.pod_dir / REPORT
    try:
        report = parse_json(read_own(path), ValueError)
        is_whole = report.text("outcome") != FAILED and report.get("until") is None
    except (OSError, ValueError):
        is_whole = False
    if not is_whole or not tools.state.kubeconfig_path.exists():
        raise UsageError(
            f"POD {tools.run.ref} has no cluster that its last deploy has verified",
            "deploy it to the end, or save it as a state of your own with --name",
        )


def _check_as_planned(ref: PodRef, planned: MachinePlan) -> None:
    """What is restored is made as the plan says, so the POD must be as its plan says when it is saved."""
    problems = [
        Problem(
            path=f"{change.kind} {change.name}",
            message=change.reason,
            remedy="deploy or redeploy the POD first",
            rule="checkpoint-differs",
        )
        for change in planned.plan.pending
        if change.action is not Action.START
    ]
    if problems or planned.plan.conflicts:
        raise PreflightError((*problems, *planned.plan.conflicts), f"POD {ref} cannot be saved: it is not as planned")


@dataclass(frozen=True, slots=True)
class _Save:
    inputs: PodInputs
    tools: PodTools
    store: CheckpointStore
    installation: str
    name: str
    planned: MachinePlan
    saving: Checkpoints
    shells: Mapping[str, Shell]

    def save(self) -> SavedCheckpoint:
        """Nodes continue, however it ends, and while memory is compressed.

        Disks are written out meanwhile, and each memory when it is compressed: the end would wait for all of it.
        """
        with self.store.new(self._notify) as new, ThreadPoolExecutor(max_workers=2) as beside:
            states = self._states(new)
            self.tools.run.reporter.progress("preparing the nodes")
            prepare_nodes(self.shells, self.tools.run.reporter)
            try:
                self.tools.run.reporter.progress("saving all machines at one instant")
                paused_seconds = self.saving.save_states(self.planned, new.id, states)
            finally:
                settled = beside.submit(self._settle)
            written = [beside.submit(sync_path, state.disk) for state in states]
            checkpoint = self._describe(new, states)
            for task in (settled, *written):
                task.result()
            self.store.commit(new, checkpoint)
        kept = Kept(checkpoint.id, self.store.directory(checkpoint.id), checkpoint)
        return SavedCheckpoint(checkpoint, self.store.size_bytes(kept), paused_seconds)

    def _states(self, new: NewCheckpoint) -> list[MachineState]:
        return [
            MachineState(
                hostname=machine.hostname,
                memory=new.directory / f"memory-{machine.hostname}" if self.shells else None,
                nvram=new.directory / f"nvram-{machine.hostname}",
                disk=self.store.layer(f"{new.id}-{machine.hostname}.qcow2"),
            )
            for machine in self.planned.machines
        ]

    def _settle(self) -> None:
        """A node that cannot be reached now continues by itself in minutes."""
        try:
            settle_nodes(self.shells)
        except IecpodError as error:
            self.tools.run.reporter.warn(error.cause)

    def _describe(self, new: NewCheckpoint, states: list[MachineState]) -> Checkpoint:
        self.tools.run.reporter.progress("compressing memory")
        self.saving.compress_states(states)
        self.tools.run.reporter.progress("computing digests")
        for state in states:
            for path in filter(None, (state.memory, state.nvram)):
                own_file(path)
        files = tuple(take_files(self.tools.state.pod_dir, new.directory))
        chains = {state.hostname: self._chain(state.disk) for state in states}
        named = {path.name: path for state in states for path in filter(None, (state.memory, state.nvram))}
        named |= {path.name: path for layers, _base in chains.values() for path in layers}
        stored = {file.name: file for file in stored_files((*named.items(), *files))}
        planned_inputs = self.saving.checkpoint_inputs(self.planned)
        return self._checkpoint(new, planned_inputs, tuple(self._machines(states, chains, stored)), files, stored)

    def _checkpoint(
        self,
        new: NewCheckpoint,
        planned_inputs: CheckpointInputs,
        machines: tuple[CheckpointMachine, ...],
        files: tuple[tuple[str, Path], ...],
        stored: Mapping[str, StoredFile],
    ) -> Checkpoint:
        release = self.inputs.order.release
        return Checkpoint(
            id=new.id,
            name=self.name,
            ref=self.tools.run.ref,
            installation=self.installation,
            made_at=format_utc(time.time()),
            inputs=planned_inputs.deploy,
            memory_inputs=planned_inputs.memory,
            options=self.tools.state.saved().to_json(),
            software=f"release {release.name}, Kubernetes {release.kubernetes_version}",
            machines=machines,
            files=tuple(stored[name] for name, _path in files),
        )

    def _machines(
        self,
        states: list[MachineState],
        chains: Mapping[str, tuple[list[Path], Path]],
        stored: Mapping[str, StoredFile],
    ) -> list[CheckpointMachine]:
        return [
            CheckpointMachine(
                hostname=state.hostname,
                memory=stored[state.memory.name] if state.memory else None,
                nvram=stored[state.nvram.name],
                layers=tuple(stored[path.name] for path in chains[state.hostname][0]),
                base_image=chains[state.hostname][1].name,
            )
            for state in states
        ]

    def _chain(self, disk: Path) -> tuple[list[Path], Path]:
        """Layers, the topmost first, and the base image."""
        *layers, base = disk, *find_chain(disk)
        odd = [path for path in layers if path.parent != self.store.layers_dir]
        if odd or not layers:
            raise HostError(f"{disk} rests on what is no layer of a checkpoint: {', '.join(map(str, odd or [base]))}")
        return layers, base

    def _notify(self, holder: str) -> None:
        self.tools.run.reporter.progress(f"waiting for another run that removes checkpoints: {holder}")
