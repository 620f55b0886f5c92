"""The phases of existing machines before those of their cluster. Apart, so that the command line loads little."""

from __future__ import annotations

#: In order; the phases themselves are in `machine_plan.py`.
PHASE_NAMES = ("reachable", "prepare")
