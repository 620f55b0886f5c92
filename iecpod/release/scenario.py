"""Scenarios: role and name of each node, and the CNI. The data are `iecpod/scenarios/*.yaml`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from iecpod.descriptors.schema import check_schema
from iecpod.errors import DescriptorError, UsageError
from iecpod.yaml.document import load_yaml


class Role(str, enum.Enum):
    CONTROL_PLANE = "control_plane"
    WORKER = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Node k of the PDF (from 0) is named `hostname_prefix` and k+1 in two digits; node 0 is the control plane.

    `cni` is the name of its pod network.
    """

    name: str
    aliases: tuple[str, ...]
    description: str
    cni: str
    dns_domain: str
    hostname_prefix: str

    def hostname(self, index: int) -> str:
        return f"{self.hostname_prefix}{index + 1:02d}"

    def role(self, index: int) -> Role:
        return Role.CONTROL_PLANE if index == 0 else Role.WORKER


def load_scenarios(scenarios_dir: Path, schemas_dir: Path) -> tuple[Scenario, ...]:
    """Every scenario file of the directory. Raises `DescriptorError` with all problems of all of them."""
    scenarios = []
    problems = []
    for path in sorted(scenarios_dir.glob("*.yaml")):
        document = load_yaml(path.read_bytes(), str(path))
        found = check_schema(document, "scenario", schemas_dir)
        problems.extend(found)
        if not found:
            data = cast(dict[str, Any], document.data)
            scenarios.append(
                Scenario(
                    name=data["name"],
                    aliases=tuple(data.get("aliases", ())),
                    description=data["description"],
                    cni=data["cni"],
                    dns_domain=data["dns_domain"],
                    hostname_prefix=data["hostname_prefix"],
                )
            )
    if problems:
        raise DescriptorError(problems, "a scenario file is not valid")
    return tuple(scenarios)


def select_scenario(name: str, scenarios: tuple[Scenario, ...]) -> Scenario:
    """The scenario of that name or alias. Raises `UsageError` that lists the names there are."""
    for scenario in scenarios:
        if name == scenario.name or name in scenario.aliases:
            return scenario
    known = ", ".join(scenario.name for scenario in scenarios)
    raise UsageError(f"there is no scenario {name!r}", f"use one of: {known}")
