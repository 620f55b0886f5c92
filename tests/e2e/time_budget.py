"""A limit on the time of the whole run: files that would not end in time are skipped by name, the least important ones.

`IECPOD_E2E_SECONDS` is the limit; without it everything runs. Files run in the order of their names, which is that of
their importance.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Seconds that files take on a usual machine of two cores without KVM; others take less than `_OTHERS`.
USUAL_SECONDS = {
    "test_0_faults.py": 120,
    "test_1_guests.py": 900,
    "test_2_unpullable.py": 500,
    "test_2_upstream.py": 2200,
    "test_4_arm.py": 1200,
    "test_4_bundle.py": 700,
    "test_4_connected_node.py": 700,
    "test_5_connected_cluster.py": 1600,
}
_OTHERS = 90


@dataclass
class TimeBudget:
    """`limit_seconds` None is no limit. A machine is as slow as its slowest file, never faster than usual."""

    limit_seconds: float | None
    usual: Mapping[str, float] = field(default_factory=lambda: USUAL_SECONDS)
    started: float = field(default_factory=time.monotonic)
    slowness: float = 1.0
    _file: str = ""
    _file_started: float = 0.0
    _refused: str = ""

    @classmethod
    def of_environment(cls) -> TimeBudget:
        limit = os.environ.get("IECPOD_E2E_SECONDS")
        return cls(float(limit) if limit else None)

    def refusal(self, file: str, now: float) -> str:
        """Why a file is skipped, empty where it runs; asked before each of its tests."""
        if file != self._file:
            self._measure(now)
            self._file, self._file_started = file, now
            self._refused = self._judge(file, now)
        return self._refused

    def _measure(self, now: float) -> None:
        if self._file in self.usual and not self._refused:
            self.slowness = max(self.slowness, (now - self._file_started) / self.usual[self._file])

    def _judge(self, file: str, now: float) -> str:
        if self.limit_seconds is None:
            return ""
        left = self.limit_seconds - (now - self.started)
        needed = self.usual.get(file, _OTHERS) * self.slowness
        if needed <= left:
            return ""
        return (
            f"time budget: {file} takes about {needed:.0f} s on this machine, and {max(left, 0):.0f} s are left; "
            f"run it by hand: pytest tests/e2e/{file}"
        )
