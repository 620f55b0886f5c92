"""Whether a plan may be carried out: every reason against it at once."""

from __future__ import annotations

from iecpod.commands.resolve import PodInputs
from iecpod.commands.tools import PodTools
from iecpod.design.changes import check_nothing_to_create
from iecpod.design.release_support import check_support
from iecpod.errors import PreflightError, count_errors
from iecpod.provider import MachinePlan


def check_plan(planned: MachinePlan, inputs: PodInputs, tools: PodTools) -> None:
    """Raises `PreflightError` with every reason why the plan cannot be carried out here; warns of demoted ones."""
    found = planned.problems(with_kubernetes=not inputs.request.stops_before_kubernetes)
    old = check_support(inputs.release, tools.clock.today())
    missing = () if inputs.request.may_create else check_nothing_to_create(planned.plan)
    problems = [problem.demoted(inputs.request.demoted) for problem in (*found, *missing, *old)]
    if count_errors(problems):
        raise PreflightError(problems, f"POD {tools.ref} cannot be deployed here; nothing was changed")
    for problem in problems:
        tools.reporter.warn(str(inputs.loaded.explained(problem)))
