"""The phases of a libvirt POD before those of its cluster. Apart, so that the command line needs no libvirt."""

from __future__ import annotations

#: In order; the phases themselves are in `plan/machine_plan.py`.
PHASE_NAMES = ("image", "networks", "storage", "domains", "reachable")
