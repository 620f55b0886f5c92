"""Who owns an object: one POD of one installation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from iecpod.model import PodRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One POD of one installation.

    `pod_dir` is the POD's directory there; None where only the hypervisor knows the POD. `owns_unmarked` is for a POD
    of that directory that was deployed by a version of iecpod that marked no object with its installation.
    """

    ref: PodRef
    installation: str
    pod_dir: PurePath | None = None
    owns_unmarked: bool = False

    def has_pool_at(self, path: PurePath) -> bool:
        """Pools drop metadata; what binds one to an installation is its directory, in that of the POD."""
        if self.pod_dir is None:
            return path.parts[-4:] == ("pods", self.ref.lab, self.ref.pod, "pool")
        return path == self.pod_dir / "pool"
