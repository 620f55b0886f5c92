"""Redeploy: nothing is removed before it is known that it can be built again."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from iecpod.commands.redeploy import redeploy
from iecpod.commands.report import Report
from iecpod.design.resources import Kind, Route
from iecpod.errors import PreflightError
from iecpod.layout import Layout
from tests.fakes import FakeHost
from tests.unit.command_line import run
from tests.unit.test_commands import FakeTools, layout, resolve, run_deploy, tools

__all__ = ["layout", "tools"]


def _run_ids(tools: FakeTools) -> set[str]:
    """Pools carry no mark of their own."""
    marks = {seen.mark for seen in tools.hypervisor.observe() if seen.kind in (Kind.DOMAIN, Kind.NETWORK)}
    return {mark.run_id if mark else "" for mark in marks}


def test_everything_is_made_anew(layout: Layout, tools: FakeTools) -> None:
    first = run_deploy(layout, tools)
    reports: list[Report] = []
    tools.run_id = "second"
    report = redeploy(resolve(layout), tools, reports.append)
    assert report.outcome == "done" and reports == [report]
    assert first.run_id != "second" and _run_ids(tools) == {"second"}


def test_without_a_pod_it_is_a_deploy(layout: Layout, tools: FakeTools) -> None:
    assert redeploy(resolve(layout), tools, lambda _report: None).outcome == "done"


def test_options_that_a_deploy_refuses_may_change(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    redeploy(resolve(layout, service_cidr="172.16.2.0/24", vcpus=1), tools, lambda _report: None)
    assert tools.recalled.service_cidr == "172.16.2.0/24" and tools.recalled.vcpus == 1


def test_what_could_not_be_built_again_is_not_removed(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    before = tools.hypervisor.observe()
    tools.fake_host = FakeHost(tools.hypervisor, (Route(IPv4Network("100.100.0.0/16"), "vpn0", "interface vpn0"),))
    with pytest.raises(PreflightError) as caught:
        redeploy(resolve(layout), tools, lambda _report: None)
    assert caught.value.cause == "POD local/virtual1 could not be deployed again; it stands as it was"
    assert tools.hypervisor.observe() == before
    assert {seen.kind for seen in before} >= {Kind.DOMAIN, Kind.NETWORK}


def test_taking_machines_as_they_are_is_no_redeploy(tmp_path: Path) -> None:
    result = run(tmp_path, "redeploy", "-l", "local", "-p", "virtual1", "-f")
    assert result.exit_code == 1 and "-f takes machines as they are" in str(result.exception)
