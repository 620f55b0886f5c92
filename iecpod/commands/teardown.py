"""`iecpod teardown`: everything of a POD that is marked as ours goes, and what stays is an error."""

from __future__ import annotations

from dataclasses import replace

from iecpod.errors import CleanupError
from iecpod.options.site import Site
from iecpod.pods.ports import PodTools
from iecpod.provider import Removed


def teardown(tools: PodTools, site: Site) -> Removed:
    """Removes all that the provider made for the POD, and its keys; caches stay.

    Raises `CleanupError` with a list of what is left of the POD. What others have made of it stays, and with it what
    that needs.
    """
    provider = tools.nodes.provider(site)
    if provider.needs_state and not tools.state.pod_dir.exists():
        return Removed(())
    provider.open(start=True)
    try:
        removed = provider.remove()
    finally:
        provider.close()
    if not removed.keeps_state:
        tools.state.remove_pod_dir()
        if tools.state.pod_dir.exists():
            removed = replace(removed, left=(*removed.left, f"directory {tools.state.pod_dir}"))
    if removed.left:
        raise CleanupError(removed.left, "run teardown again; if it stays, remove these by hand")
    return removed
