"""`iecpod redeploy`: teardown and deploy in one, of the whole POD or of what changed, by one command for a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from iecpod.commands.deploy import build_pod
from iecpod.commands.plan import plan_on
from iecpod.commands.teardown import teardown
from iecpod.design.changes import Replacement
from iecpod.errors import CleanupError, PreflightError, count_errors
from iecpod.options.option_layers import fixed_differences
from iecpod.options.site import Site
from iecpod.pods.ports import PodTools
from iecpod.pods.refusal import REMOVED_BY_REDEPLOY
from iecpod.pods.resolve import PodInputs
from iecpod.ports import Reporter
from iecpod.provider import MachinePlan, Removed, Reset
from iecpod.reports.run_report import Report

T = TypeVar("T")


def redeploy(inputs: PodInputs, tools: PodTools, save_report: Callable[[Report], None]) -> Report:
    """Removes what there is of the POD and builds it again, all under one lock.

    Where the new POD could not be built, `PreflightError` is raised while the old one still stands. A run that was
    killed is repeated by running it again. Raises what `teardown` and `deploy` raise.
    """
    if tools.state.pod_dir.exists():
        _check_beforehand(inputs, tools)
    _remove_whole(inputs, tools)
    return build_pod(inputs, tools, save_report)


def redeploy_changed(inputs: PodInputs, tools: PodTools, save_report: Callable[[Report], None]) -> Report:
    """As `redeploy`, but only workers that differ go, and the rest stays as it is and runs on.

    A change of what everything depends on (the control plane, a network, the cluster's own options) takes the whole
    POD, which is reported. A worker that was recreated joins under its name as a new node, and the result is verified
    again; so also a plain deploy resumes where this was killed.
    """
    if tools.state.pod_dir.exists():
        replacement = _find_replacement(inputs, tools, _check_beforehand(inputs, tools))
        if replacement.whole:
            tools.run.reporter.warn(f"the whole POD is recreated: {replacement.whole}")
            _remove_whole(inputs, tools)
        else:
            _remove_machines(inputs, tools, replacement.machines)
    # What plan shows with `-` goes as well: whoever asks for what changed asks for that.
    return build_pod(replace(inputs, request=replace(inputs.request, prune=True)), tools, save_report)


def _find_replacement(inputs: PodInputs, tools: PodTools, planned: MachinePlan) -> Replacement:
    other = fixed_differences(tools.state.saved().options, inputs.order.options)
    if other:
        return Replacement(whole=f"it was deployed {'; '.join(other)}")
    return planned.replacement()


def _remove_machines(inputs: PodInputs, tools: PodTools, names: tuple[str, ...]) -> None:
    provider = tools.nodes.provider(inputs.order.site)
    provider.open(start=False)
    try:
        _report_removed(tools.run.reporter, provider.remove_machines(names).names)
    finally:
        provider.close()


def _remove_whole(inputs: PodInputs, tools: PodTools) -> None:
    """A POD that was there leaves the options of the new one, for a run that resumes if this one ends here."""
    existed = tools.state.pod_dir.exists()
    removed = _remove_all(inputs, tools, tools.state.saved().options.site or inputs.order.site)
    _report_removed(tools.run.reporter, removed.names)
    for kept in removed.kept:
        tools.run.reporter.warn(f"{kept.name} stays, which {kept.why}")
    if existed:
        tools.state.save(inputs.to_save)


def _remove_all(inputs: PodInputs, tools: PodTools, site: Site) -> Removed:
    """Machines that stay keep the POD's key: what was given for the first login is not saved."""
    provider = tools.nodes.provider(site)
    if site != inputs.order.site or not isinstance(provider, Reset) or not tools.state.pod_dir.exists():
        return teardown(tools, site)
    provider.open(start=True)
    try:
        removed = provider.reset(inputs.order)
    finally:
        provider.close()
    if removed.left:
        raise CleanupError(removed.left, "run the same command again, or teardown", "redeploy left behind")
    tools.state.kubeconfig_path.unlink(missing_ok=True)
    return removed


def _report_removed(reporter: Reporter, names: tuple[str, ...]) -> None:
    for name in names:
        reporter.progress(f"removed {name}")


def _check_beforehand(inputs: PodInputs, tools: PodTools) -> MachinePlan:
    return check_redeployable(inputs, tools, lambda planned: planned)


def check_redeployable(inputs: PodInputs, tools: PodTools, look: Callable[[MachinePlan], T]) -> T:
    """What `look` finds in the plan of the POD, while its provider is open. Raises `PreflightError`."""
    provider = tools.nodes.provider(inputs.order.site)
    provider.open(start=True)
    try:
        result = plan_on(inputs, tools, provider)
        found = look(result.planned)
    finally:
        provider.close()
    problems = [problem for problem in result.problems if problem.rule not in REMOVED_BY_REDEPLOY]
    if count_errors(problems):
        raise PreflightError(problems, f"POD {tools.run.ref} could not be deployed again; it stands as it was")
    result.planned.keep_sources()  # until there are new disks, nothing rests on them
    return found
