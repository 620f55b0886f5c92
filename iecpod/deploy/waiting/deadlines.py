"""How long things may take in a run: as the guests are fast, or as the user said."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from iecpod.design.deadline_factor import GuestSpeed
from iecpod.ports import Clock

#: What moves without end, such as a guest that boots again and again, is given up after so many times the deadline.
_MOST_TIMES = 2.0


class Deadlines:
    """`limits` are the seconds that the user gave whole phases, by name; they hold as given."""

    def __init__(self, guest_speed: GuestSpeed, clock: Clock, limits: Mapping[str, float]) -> None:
        self._assumed = self._guest_speed = guest_speed
        self._clock = clock
        self._limits = dict(limits)
        self._lock = threading.Lock()
        self.begin("")

    def begin(self, phase: str) -> None:
        """Limits count from here."""
        self._phase = phase
        self._began_at = self._clock.now()

    @property
    def factor(self) -> float:
        """How many times those of KVM they are."""
        return self._guest_speed.factor

    @property
    def low_overhead(self) -> bool:
        return self._guest_speed.low_overhead

    def extend_for_boot(self, boot_seconds: float) -> bool:
        """Makes deadlines from now on those of the slowest guest; False where none is slower than was assumed."""
        with self._lock:
            found = self._assumed.measured(boot_seconds)
            if found.factor <= self._guest_speed.factor:
                return False
            self._guest_speed = found
            return True

    def seconds(self, on_kvm_seconds: float) -> float:
        """How long something may take that takes at most `on_kvm_seconds` with KVM."""
        limit = self._limits.get(self._phase)
        if limit is None:
            return self._guest_speed.seconds(on_kvm_seconds)
        return max(1.0, self._began_at + limit - self._clock.now())

    def most_seconds(self, on_kvm_seconds: float) -> float:
        """As `seconds`, for a wait that moves to its end."""
        seconds = self.seconds(on_kvm_seconds)
        return seconds if self._phase in self._limits else seconds * _MOST_TIMES
