"""`iecpod redeploy`: teardown and deploy in one, so that a job has a fresh POD by one command."""

from __future__ import annotations

from collections.abc import Callable

from iecpod.commands.deploy import build_pod
from iecpod.commands.plan import plan_on
from iecpod.commands.report import Report
from iecpod.commands.resolve import PodInputs
from iecpod.commands.teardown import remove_pod
from iecpod.commands.tools import PodTools
from iecpod.errors import PreflightError, count_errors

#: What is in a deploy's way and not in that of a redeploy, which removes it.
_REMOVED = "changed-in-place"


def redeploy(inputs: PodInputs, tools: PodTools, save_report: Callable[[Report], None]) -> Report:
    """Removes what there is of the POD and builds it anew, all under one lock.

    Where the new POD could not be built, `PreflightError` is raised while the old one still stands. A run that was
    killed is repeated by running it again. Raises what `teardown` and `deploy` raise.
    """
    with tools.lock():
        known = tools.recall()
        if tools.pod_dir.exists():
            _check_beforehand(inputs, tools)
        for name in remove_pod(tools, known.uri or inputs.uri).names:
            tools.reporter.progress(f"removed {name}")
        return build_pod(inputs, tools, save_report)


def _check_beforehand(inputs: PodInputs, tools: PodTools) -> None:
    host = tools.host(inputs.uri)
    host.start()
    hypervisor = host.connect()
    try:
        problems = [p for p in plan_on(inputs, tools, host, hypervisor).problems if p.rule != _REMOVED]
    finally:
        hypervisor.close()
    if count_errors(problems):
        raise PreflightError(problems, f"POD {tools.ref} could not be deployed again; it stands as it was")
