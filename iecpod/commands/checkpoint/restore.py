"""`iecpod checkpoint restore`: a POD as it was at the instant of a checkpoint, also after its teardown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from iecpod.cache.base_images import lease_of_image_file
from iecpod.cache.hashed_files import read_json
from iecpod.cache.inventory import IMAGES
from iecpod.cache.lease import hold
from iecpod.checkpoints.checkpoint_store import CheckpointStore
from iecpod.checkpoints.digests import SEEN, find_damage
from iecpod.checkpoints.manifest import Checkpoint
from iecpod.commands.checkpoint.save import checkpoints_provider
from iecpod.commands.deploy import DeployRun, make_report, phase_tools, withdraw
from iecpod.commands.teardown import teardown
from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.answering_kubelets import AnsweringKubelets
from iecpod.deploy.node.guest_instant import ClockPhase
from iecpod.deploy.phases.certificates import CertificatesPhase
from iecpod.deploy.phases.known_by_kubelets import KnownByKubelets
from iecpod.deploy.phases.kubeconfig import KubeconfigPhase
from iecpod.deploy.phases.reachable import ReachablePhase
from iecpod.deploy.phases.ready import ReadyPhase
from iecpod.deploy.phases.verify import VerifyPhase
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.deploy.workflow import Phase, PhaseFailed, run_phases
from iecpod.errors import IecpodError, PreflightError, Problem, count_errors
from iecpod.files.writer import PRIVATE, replace_file
from iecpod.options.option import Source
from iecpod.pods.checkpoint_choice import describe_difference
from iecpod.pods.checkpoint_files import put_files_back
from iecpod.pods.cluster_access import kubectl_of
from iecpod.pods.directory import RESTORING
from iecpod.pods.ports import PodTools
from iecpod.pods.refusal import REMOVED_BY_REDEPLOY, check_plan
from iecpod.pods.resolve import PodInputs
from iecpod.provider import INSIDE, CheckpointInputs, Checkpoints, MachinePlan, MachineState, Provider
from iecpod.reports.run_report import Report
from iecpod.results import DONE, FAILED

SaveReport = Callable[[Report], None]


def restore_checkpoint(
    inputs: PodInputs,
    tools: PodTools,
    store: CheckpointStore,
    checkpoint: Checkpoint,
    save_report: SaveReport,
    *,
    may_replace: bool,
) -> Report:
    """`inputs` are resolved from the options of the checkpoint.

    A POD that stands is removed only with `may_replace`, and not before it is known that the checkpoint is whole and
    fits. A restore that was killed is repeated by running it again. Raises `PreflightError`.
    """
    check_whole(store, checkpoint, tools.run.reporter.progress)
    if _stands(tools):
        if not may_replace:
            raise _in_the_way(tools)
        _check_beforehand(inputs, tools, checkpoint)
        remove_pod(inputs, tools)
    return restore_fitting(inputs, tools, store, checkpoint, save_report)


def restore_fitting(
    inputs: PodInputs, tools: PodTools, store: CheckpointStore, checkpoint: Checkpoint, save_report: SaveReport
) -> Report:
    """For who holds the lock, has removed the POD, and knows that the checkpoint is whole."""
    return _Restore(inputs, tools, store, checkpoint, save_report).run()


def remove_pod(inputs: PodInputs, tools: PodTools) -> None:
    for name in teardown(tools, tools.state.saved().options.site or inputs.order.site).names:
        tools.run.reporter.progress(f"removed {name}")


def check_whole(store: CheckpointStore, checkpoint: Checkpoint, notify: Callable[[str], None]) -> None:
    """By digests, as far as files have changed since they were last compared. It cannot be removed from here on.

    Raises `PreflightError` with everything that is wrong.
    """
    store.hold(checkpoint.id, notify)
    problems = find_problems(store, checkpoint, thorough=False, notify=notify)
    if problems:
        raise PreflightError(problems, f"checkpoint {checkpoint.name or checkpoint.id} cannot be restored")


def find_problems(
    store: CheckpointStore, checkpoint: Checkpoint, *, thorough: bool, notify: Callable[[str], None]
) -> tuple[Problem, ...]:
    """What of it is damaged or missing; the base images are held, too."""
    seen_file = store.directory(checkpoint.id) / SEEN
    known = read_json(seen_file)
    damage = find_damage(
        store.paths(checkpoint), known if isinstance(known, dict) else {}, hash_all=True if thorough else None
    )
    if not damage.reasons:
        store.write_seen(checkpoint, damage.seen)
    missing = [
        _damaged(path, "the base image of its disks is missing", "`iecpod image bake` may make the same image again")
        for path in _base_images(store, checkpoint, notify)
        if not path.is_file()
    ]
    remedy = "remove the checkpoint, and save another one"
    return (*(_damaged(path, why, remedy) for path, why in damage.reasons.items()), *missing)


def _base_images(store: CheckpointStore, checkpoint: Checkpoint, notify: Callable[[str], None]) -> Iterator[Path]:
    for name in dict.fromkeys(machine.base_image for machine in checkpoint.machines):
        hold(store.cache_dir, lease_of_image_file(name), notify)
        yield store.cache_dir / IMAGES / name


def _damaged(path: Path, why: str, remedy: str) -> Problem:
    return Problem(file=str(path), message=why, remedy=remedy, rule="checkpoint-damaged")


def _stands(tools: PodTools) -> bool:
    """Whether there is a POD that must not be replaced unasked; one that a killed restore left is none."""
    return tools.state.saved().is_noted and not (tools.state.pod_dir / RESTORING).exists()


def _in_the_way(tools: PodTools) -> PreflightError:
    return PreflightError(
        [
            Problem(
                path=f"POD {tools.run.ref}",
                message="it stands, and a restore would take its place",
                remedy="give --replace to remove it first, or tear it down",
                rule="checkpoint-pod-stands",
            )
        ],
        "nothing was restored",
    )


def _check_beforehand(inputs: PodInputs, tools: PodTools, checkpoint: Checkpoint) -> None:
    provider = tools.nodes.provider(inputs.order.site)
    provider.open(start=True)
    try:
        planned = provider.plan(inputs.order, prove=True, keep_secrets=False)
        check_fits(checkpoint, checkpoints_provider(provider).checkpoint_inputs(planned))
        planned.keep_sources()
        found = planned.problems(with_kubernetes=True)
    finally:
        provider.close()
    problems = [problem for problem in found if problem.rule not in REMOVED_BY_REDEPLOY]
    if count_errors(problems):
        raise PreflightError(problems, f"POD {tools.run.ref} could not be restored; it stands as it was")


def check_fits(checkpoint: Checkpoint, inputs: CheckpointInputs) -> None:
    """Raises `PreflightError` where the POD of now is another one.

    What machines hold stays as it was saved, also where this version of iecpod would configure it otherwise.
    """
    difference = describe_difference(_outside(checkpoint.inputs), _outside(inputs.deploy))
    if difference:
        raise PreflightError(
            [
                Problem(
                    path=f"checkpoint {checkpoint.name or checkpoint.id}",
                    message=f"it was made with another {difference}",
                    remedy="go back to the descriptors and options of then, or deploy the POD",
                    rule="checkpoint-differs",
                )
            ],
            "the checkpoint is of another POD than the descriptors and options of now describe",
        )


def _outside(inputs: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in inputs.items() if name != INSIDE}


@dataclass(frozen=True, slots=True)
class _Restore:
    """For a POD that is not there, or that a killed restore has left."""

    inputs: PodInputs
    tools: PodTools
    store: CheckpointStore
    checkpoint: Checkpoint
    save_report: SaveReport

    def run(self) -> Report:
        tools = self.tools
        if (tools.state.pod_dir / RESTORING).exists():
            remove_pod(self.inputs, tools)
        provider = tools.nodes.provider(self.inputs.order.site)
        restoring = checkpoints_provider(provider)
        try:
            self._put_back()
            provider.open(start=True)
            planned = provider.plan(self.inputs.order, prove=True, keep_secrets=True)
            current = restoring.checkpoint_inputs(planned)
            check_fits(self.checkpoint, current)
            check_plan(planned, self.inputs, tools.run)
        except (IecpodError, OSError):
            provider.close()
            withdraw(tools.state, provider)
            raise
        try:
            return self._run_phases(provider, restoring, planned, current)
        finally:
            provider.close()

    def _put_back(self) -> None:
        """The marker comes first: what a killed restore leaves is no POD to keep."""
        self.tools.state.save(self.inputs.to_save)
        replace_file(self.tools.state.pod_dir / RESTORING, f"{self.checkpoint.id}\n", PRIVATE)
        put_files_back(self.checkpoint, self.store.directory(self.checkpoint.id), self.tools.state.pod_dir)

    def _run_phases(
        self, provider: Provider, restoring: Checkpoints, planned: MachinePlan, current: CheckpointInputs
    ) -> Report:
        saved = self.inputs.to_save
        found = saved.options.changed(Source.DEFAULT, virt_type=planned.virt_type)
        self.tools.state.save(replace(saved, options=found))
        shared = phase_tools(self.inputs, self.tools.run, provider, planned)
        report = partial(make_report, DeployRun(self.inputs, self.tools, provider), planned)
        try:
            results = run_phases(self._phases(provider, restoring, planned, current, shared), shared)
        except PhaseFailed as failed:
            self.save_report(report(failed.results, FAILED))
            raise failed.error from None
        (self.tools.state.pod_dir / RESTORING).unlink(missing_ok=True)
        done = report(results, DONE)
        self.save_report(done)
        return done

    def _phases(
        self,
        provider: Provider,
        restoring: Checkpoints,
        planned: MachinePlan,
        current: CheckpointInputs,
        shared: PhaseTools,
    ) -> list[Phase]:
        """Machines, their clocks, and the smoke test in its short form: nodes, pod network, and what was verified."""
        cluster = planned.pod.cluster
        shells = self.tools.nodes.shells(provider.endpoints(self.inputs.order))
        first = shells[cluster.control_plane.hostname]
        kubectl_at = kubectl_of(self.tools.nodes, provider.way, cluster, first)
        states = self._states(current)
        machines = restoring.restore_phases(planned, states, shared.reporter)
        nodes: list[Phase] = [ReachablePhase(shells, shared), ClockPhase(shells, shared.reporter)]
        path = self.tools.state.kubeconfig_path
        if not path.exists():
            return [*machines, *nodes]  # it was saved before it had a cluster
        kubeconfig = KubeconfigPhase(cluster, AdminConf(cluster, first), path, shared.waits)
        certificates = CertificatesPhase(
            cluster, shells, kubectl_at(first), kubeconfig, shared.waits, self.tools.run.clock.today
        )
        ready = ReadyPhase(cluster, shells, shared, kubectl_at=kubectl_at)
        verify = VerifyPhase(cluster, shells, shared, provider.way.open_socket, kubectl_at=kubectl_at)
        if certificates.probe() is None or any(state.memory is None for state in states):
            return [*machines, *nodes, certificates, ready, verify]
        kubelets = AnsweringKubelets(cluster, kubectl_at(first), shared.waits)
        known = (KnownByKubelets(phase, kubelets) for phase in (*nodes, ready))
        return [*machines, *known, replace(verify, has_routes=True)]

    def _states(self, current: CheckpointInputs) -> list[MachineState]:
        loads = self._loads_memory(current)
        directory = self.store.directory(self.checkpoint.id)
        return [
            MachineState(
                hostname=machine.hostname,
                memory=directory / machine.memory.name if machine.memory and loads else None,
                nvram=directory / machine.nvram.name,
                disk=self.store.layer(machine.layers[0].name),
            )
            for machine in self.checkpoint.machines
        ]

    def _loads_memory(self, current: CheckpointInputs) -> bool:
        if not self.checkpoint.has_memory:
            return False
        difference = describe_difference(self.checkpoint.memory_inputs, current.memory)
        if difference:
            self.tools.run.reporter.warn(
                f"the machines boot from the disks of the checkpoint: its memory is of another {difference}"
            )
        return not difference
