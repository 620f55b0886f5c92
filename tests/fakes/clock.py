"""A clock for tests that waits in no time."""

from __future__ import annotations

import datetime


class FakeClock:
    """Time passes only by sleeping, and days never: it is one on which Kubernetes 1.20 was new."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.date = datetime.date(2021, 2, 1)

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def today(self) -> datetime.date:
        return self.date
