"""What commands need for one POD, with the real adapters behind it."""

from __future__ import annotations

from iecpod.cache.artifacts import Cache
from iecpod.design.owner import Owner
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.ports import Reporter
from iecpod.ssh_login import Login
from iecpod.wiring.cached_software import CachedSoftware
from iecpod.wiring.pod_directory import PodDirectory
from iecpod.wiring.pod_nodes import PodNodes
from iecpod.wiring.run_of_pod import RunOfPod, new_run_id


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
        self.software = CachedSoftware(Cache(layout.cache_dir, reporter), apt_mirror, self.state.pod_dir)
        self.nodes = PodNodes(layout, self.run, self.software, login or Login())
