"""The administrator's credentials from the kubeconfig that iecpod has written, for iecpod itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iecpod.deploy.kubectl.admin_credentials import read_credentials
from iecpod.errors import NodeError
from iecpod.files.reader import read_own
from iecpod.render.kubeconfig import Credentials

_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OwnKubeconfig:
    path: Path
    node: str
    server: str

    def load(self) -> Credentials | None:
        """None where there is no kubeconfig, or not one of that server: the phase `kubeconfig` writes it."""
        try:
            return read_credentials(self.node, str(self.path), read_own(self.path, _MOST_BYTES), self.server)
        except (OSError, NodeError):
            return None
