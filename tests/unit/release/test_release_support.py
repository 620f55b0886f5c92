"""plan, deploy and status warn of releases that upstream no longer supports; the day is the clock's."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from iecpod.commands.plan import make_pod_plan
from iecpod.commands.status import observe_status
from iecpod.errors import Severity
from iecpod.layout import Layout
from iecpod.release.support import check_support
from tests.fakes.pod_tools import FakeTools
from tests.unit.commands.test_commands import layout, resolve, run_deploy, tools
from tests.unit.conftest import make_release

__all__ = ["layout", "tools"]

LAST = datetime.date(2022, 2, 28)
WARNING = (
    "warning: warning: release debian12 is past its support: Kubernetes 1.20.2 gets no fixes from upstream since "
    "2022-02-28, also none for security [release-unsupported]"
)


def test_the_last_day_is_still_one_of_support() -> None:
    release = dataclasses.replace(make_release(), supported_until=LAST)
    assert check_support(release, LAST) == []
    (problem,) = check_support(release, LAST + datetime.timedelta(days=1))
    assert (problem.rule, problem.severity) == ("release-unsupported", Severity.WARNING)
    assert check_support(make_release(), datetime.date.max) == []


@pytest.mark.parametrize("passed", [True, False])
def test_plan_deploy_and_status_warn_and_refuse_nothing(layout: Layout, tools: FakeTools, passed: bool) -> None:
    tools.clock.date = LAST + datetime.timedelta(days=passed)

    def warnings() -> list[str]:
        lines = [line.partition("\n")[0] for line in tools.reporter.lines]
        tools.reporter.lines.clear()
        return [line for line in lines if "release-unsupported" in line]

    assert make_pod_plan(resolve(layout), tools).problems == ()
    assert warnings() == [WARNING] * passed
    assert run_deploy(layout, tools).outcome == "done"
    assert warnings() == [WARNING] * passed
    assert observe_status(resolve(layout), tools).state == "ready"
    assert warnings() == [WARNING] * passed
