"""`iecpod redeploy --checkpoint`: restores what fits, else deploys and saves it."""

from __future__ import annotations

from collections.abc import Callable

from iecpod.checkpoints.checkpoint_store import CheckpointStore
from iecpod.commands.checkpoint.restore import check_whole, remove_pod, restore_fitting
from iecpod.commands.checkpoint.save import checkpoints_provider, save_checkpoint
from iecpod.commands.deploy import withdraw
from iecpod.commands.redeploy import check_redeployable, redeploy
from iecpod.errors import IecpodError, PreflightError
from iecpod.pods.checkpoint_choice import Fit, find_fit
from iecpod.pods.ports import PodTools
from iecpod.pods.resolve import PodInputs
from iecpod.provider import CheckpointInputs
from iecpod.reports.run_report import Report
from iecpod.results import FAILED
from iecpod.units import format_size


def redeploy_with_checkpoint(
    inputs: PodInputs,
    tools: PodTools,
    save_report: Callable[[Report], None],
    *,
    store: CheckpointStore,
    installation: str,
) -> Report:
    """As `redeploy`; a checkpoint that does not fit, or is damaged, costs a whole deploy, and a warning says why.

    So it is where the POD cannot be saved afterwards: it is deployed all the same.
    """
    fit = _find_fit(inputs, tools, store)
    if fit.checkpoint is not None:
        tools.run.reporter.progress(f"checkpoint {fit.checkpoint.id} fits: the POD is restored")
        if tools.state.pod_dir.exists():
            remove_pod(inputs, tools)
        return restore_fitting(inputs, tools, store, fit.checkpoint, save_report)
    tools.run.reporter.warn(f"no checkpoint fits, so the POD is deployed: {fit.why_not}")
    report = redeploy(inputs, tools, save_report)
    if report.outcome != FAILED and report.until is None:
        _save(inputs, tools, store, installation)
    return report


def _save(inputs: PodInputs, tools: PodTools, store: CheckpointStore, installation: str) -> None:
    try:
        saved = save_checkpoint(inputs, tools, store, installation, "")
    except IecpodError as error:
        tools.run.reporter.warn(f"the POD is deployed, and no checkpoint of it was saved: {error.cause}")
        return
    size = format_size(saved.size_bytes)
    tools.run.reporter.progress(f"saved checkpoint {saved.checkpoint.id}, {size}")


def _find_fit(inputs: PodInputs, tools: PodTools, store: CheckpointStore) -> Fit:
    fit = find_fit(store, tools.run.ref, _current_inputs(inputs, tools))
    if fit.checkpoint is None:
        return fit
    try:
        check_whole(store, fit.checkpoint, tools.run.reporter.progress)
    except PreflightError as error:
        return Fit(None, "; ".join((error.cause, *map(str, error.problems))))
    return fit


def _current_inputs(inputs: PodInputs, tools: PodTools) -> CheckpointInputs:
    """While a POD stands, all that a deploy would refuse is refused here."""
    provider = tools.nodes.provider(inputs.order.site)
    saving = checkpoints_provider(provider)
    if tools.state.pod_dir.exists():
        return check_redeployable(inputs, tools, saving.checkpoint_inputs)
    try:
        provider.open(start=True)
        return saving.checkpoint_inputs(provider.plan(inputs.order, prove=True, keep_secrets=False))
    finally:
        provider.close()
        withdraw(tools.state, provider)
