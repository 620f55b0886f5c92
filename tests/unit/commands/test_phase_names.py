"""Phases are those of the provider, then those of every cluster: for --until, and for the skipped ones of JUnit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast
from xml.etree import ElementTree

import pytest

from iecpod.commands.deploy import DeployRun, build_pod, make_report
from iecpod.errors import UsageError
from iecpod.options.choices import ProviderName
from iecpod.pods.ports import PodTools
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.pods.resolve import PodInputs
from iecpod.providers.existing.provider import ExistingProvider
from iecpod.providers.phase_names import PHASE_NAMES
from iecpod.results import FAILED
from tests.fakes.phase_tools import fake_phase_tools
from tests.unit.command_line import run
from tests.unit.providers.existing.test_provider import FakeMachines, base, inputs, resolve, tools

__all__ = ["base", "inputs", "tools"]


def test_phases_of_existing_machines_have_the_names_that_are_listed(inputs: PodInputs, tools: FakeMachines) -> None:
    provider = ExistingProvider(tools)
    planned = provider.plan(inputs.order, prove=True, keep_secrets=False)
    found = (*planned.fetch_phases(fake_phase_tools()), *planned.phases({}, fake_phase_tools()))
    assert tuple(phase.name for phase in found) == provider.phase_names == PHASE_NAMES[ProviderName.EXISTING]


def test_phases_that_existing_machines_do_not_have_are_not_reported_as_skipped(
    inputs: PodInputs, tools: FakeMachines
) -> None:
    provider = ExistingProvider(tools)
    planned = provider.plan(inputs.order, prove=True, keep_secrets=False)
    shared = cast(PodTools, SimpleNamespace(run=SimpleNamespace(ref=inputs.request.ref, run_id="1")))
    report = make_report(DeployRun(inputs, shared, provider), planned, (), FAILED)
    cases = ElementTree.fromstring(report.to_junit()).iter("testcase")
    assert [case.attrib["name"] for case in cases] == [*PHASE_NAMES[ProviderName.EXISTING], *CLUSTER_PHASES]


def test_until_takes_no_phase_of_another_provider(base: Path, tmp_path: Path, tools: FakeMachines) -> None:
    """Before anything is saved or opened."""
    inputs = resolve(base, tmp_path, until="domains")
    shared = SimpleNamespace(
        state=SimpleNamespace(pod_dir=tmp_path / "none"),
        nodes=SimpleNamespace(provider=lambda _site: ExistingProvider(tools)),
    )
    with pytest.raises(UsageError, match="--until domains: the machines of this POD have no such phase") as refused:
        build_pod(inputs, cast(PodTools, shared), lambda _report: None)
    assert refused.value.remedy.startswith("its phases are reachable, prepare, runtime, ")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("phase", ["domains", "prepare", "verify"])
def test_until_offers_phases_of_every_provider(tmp_path: Path, phase: str) -> None:
    assert phase in run(tmp_path, "deploy", "--help").stdout
