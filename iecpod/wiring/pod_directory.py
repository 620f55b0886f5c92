"""What is kept of one POD on this host, with its lock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from iecpod.adapters.pod_lock import find_holder, pod_lock
from iecpod.design.owner import Owner
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.pods.directory import (
    KUBECONFIG,
    is_of_earlier_version,
    load_saved,
    make_pod_dir,
    pod_dir_of,
    remove_pod_dir,
    save_pod,
)
from iecpod.pods.installation import find_installation
from iecpod.pods.saved import SavedPod
from iecpod.ports import LockHolder


class PodDirectory:
    """`PodState` with the real adapters behind it."""

    def __init__(
        self, layout: Layout, ref: PodRef, *, lock_seconds: float, notify: Callable[[str], None], owner: Owner | None
    ) -> None:
        """`owner` is for a POD that was deployed from elsewhere."""
        self._layout = layout
        self._ref = ref
        self._lock_seconds = lock_seconds
        self._notify = notify
        self._foreign_owner = owner
        self.pod_dir = pod_dir_of(layout, ref)
        self.kubeconfig_path = self.pod_dir / KUBECONFIG

    @property
    def owner(self) -> Owner:
        """Whose objects are the POD's."""
        return self._foreign_owner or Owner(
            ref=self._ref,
            installation=find_installation(self._layout.state_dir),
            pod_dir=self.pod_dir,
            owns_unmarked=is_of_earlier_version(self.pod_dir),
        )

    def lock(self) -> AbstractContextManager[None]:
        return pod_lock(self._layout, self._ref, wait_seconds=self._lock_seconds, notify=self._notify)

    def holder(self) -> LockHolder | None:
        return find_holder(self._layout, self._ref)

    def save(self, pod: SavedPod) -> None:
        make_pod_dir(self._layout, self._ref)
        save_pod(self.pod_dir, pod, self.owner.installation)

    def saved(self) -> SavedPod:
        return load_saved(self.pod_dir)

    def remove_pod_dir(self) -> None:
        remove_pod_dir(self._layout, self._ref)
