"""What every provider knows of the run that it works for."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from iecpod.design.owner import Owner
from iecpod.model import PodRef
from iecpod.ports import Clock, Reporter


class ProviderContext(Protocol):
    """For whom, and in which run, machines are provided."""

    @property
    def ref(self) -> PodRef: ...

    @property
    def owner(self) -> Owner:
        """Whose objects are the POD's: it, deployed from this state directory."""

    @property
    def run_id(self) -> str:
        """Marks what this run makes and reports."""

    @property
    def pod_dir(self) -> Path: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def reporter(self) -> Reporter: ...
