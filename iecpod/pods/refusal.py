"""Whether a plan may be carried out: every reason against it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iecpod.design.changes import check_nothing_to_create
from iecpod.design.machines import architectures
from iecpod.design.software.image_origin import NeededImage, check_origins
from iecpod.design.software.unverified_sources import check_release_file
from iecpod.errors import PreflightError, Problem, count_errors
from iecpod.pods.ports import RunContext
from iecpod.pods.resolve import PodInputs
from iecpod.provider import MachinePlan
from iecpod.release.support import check_support

#: Rules of what is in the way of a deploy, and not in that of a redeploy.
REMOVED_BY_REDEPLOY = frozenset({"changed-in-place", "node-left-pdf"})


def check_plan(
    planned: MachinePlan,
    inputs: PodInputs,
    run: RunContext,
    images: Sequence[NeededImage] = (),
    *,
    may_prune: bool = True,
) -> None:
    """Raises `PreflightError` with every reason why the plan cannot be carried out here; warns of demoted ones.

    `images` are those that nodes are going to need.
    """
    found = planned.problems(with_kubernetes=not inputs.request.stops_before_kubernetes)
    unknown = tuple(check_origins(images, architectures(planned.machines)))
    old = check_support(inputs.order.release, run.clock.today())
    missing = () if inputs.request.may_create else check_nothing_to_create(planned.plan)
    surplus = () if may_prune else _check_surplus(planned, inputs)
    foreign = check_release_file(inputs.release_file, inputs.order.release)
    against = (*found, *unknown, *missing, *surplus, *old, *foreign)
    problems = [problem.demoted(inputs.request.demoted) for problem in against]
    if count_errors(problems):
        raise PreflightError(problems, f"POD {run.ref} cannot be deployed here; nothing was changed")
    for problem in problems:
        run.reporter.warn(str(inputs.loaded.explained(problem)))


def _check_surplus(planned: MachinePlan, inputs: PodInputs) -> Iterator[Problem]:
    prune = inputs.request.command("deploy", "--prune")
    for hostname in planned.surplus:
        yield Problem(
            path=f"node {hostname}",
            message="its machine is there, and the PDF no longer has the node",
            remedy=f"`{prune}` drains and removes it; or put it back into the PDF",
            rule="node-left-pdf",
        )
