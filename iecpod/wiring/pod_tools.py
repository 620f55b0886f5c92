"""What commands need for one POD, with the real adapters behind it.

Most of the time of a question such as `iecpod kubectl` is that of loading modules: what it does not need is loaded by
its first use, here and in the modules that this one imports.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from iecpod.cache.artifacts import Cache
from iecpod.design.owner import Owner
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.ports import Reporter
from iecpod.ssh_login import Login
from iecpod.wiring.pod_directory import PodDirectory
from iecpod.wiring.pod_nodes import PodNodes
from iecpod.wiring.run_of_pod import RunOfPod, new_run_id

if TYPE_CHECKING:
    from iecpod.wiring.cached_software import CachedSoftware


class PodAdapters:
    """`PodTools` with the real adapters behind it."""

    def __init__(
        self,
        layout: Layout,
        ref: PodRef,
        reporter: Reporter,
        apt_mirror: str,
        run_id: str = "",
        lock_seconds: float = 0.0,
        owner: Owner | None = None,
        login: Login | None = None,
    ) -> None:
        """`owner` is for PODs that were deployed from elsewhere, `login` for machines that are there already."""
        self.state = PodDirectory(layout, ref, lock_seconds=lock_seconds, notify=reporter.progress, owner=owner)
        self.run = RunOfPod(ref, run_id or new_run_id(), reporter, self.state)
        self.nodes = PodNodes(layout, self.run, apt_mirror, login or Login(), lambda: self.software)
        self._cache = Cache(layout.cache_dir, reporter)
        self._apt_mirror = apt_mirror

    @cached_property
    def software(self) -> CachedSoftware:
        from iecpod.wiring.cached_software import CachedSoftware

        return CachedSoftware(self._cache, self._apt_mirror, self.state.pod_dir)
