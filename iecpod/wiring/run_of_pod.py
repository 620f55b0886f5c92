"""One run of a command about one POD, as commands and providers see it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.design.owner import Owner
from iecpod.model import PodRef
from iecpod.ports import Clock, Reporter
from iecpod.wait import SystemClock
from iecpod.wiring.pod_directory import PodDirectory


def new_run_id() -> str:
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True, slots=True)
class RunOfPod:
    """`RunContext`, and the `ProviderContext` of every provider."""

    ref: PodRef
    run_id: str
    reporter: Reporter
    directory: PodDirectory
    clock: Clock = field(default_factory=SystemClock)

    @property
    def pod_dir(self) -> Path:
        return self.directory.pod_dir

    @property
    def owner(self) -> Owner:
        return self.directory.owner
