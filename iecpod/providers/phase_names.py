"""Phases of each provider, before those of the cluster. Apart, so that the command line loads no provider for them."""

from __future__ import annotations

from collections.abc import Mapping

from iecpod.options.choices import ProviderName

#: In order, as `MachinePlan.fetch_phases` and `phases` have them.
PHASE_NAMES: Mapping[ProviderName, tuple[str, ...]] = {
    ProviderName.LIBVIRT: ("image", "networks", "storage", "domains", "reachable"),
    ProviderName.EXISTING: ("reachable", "prepare"),
}
