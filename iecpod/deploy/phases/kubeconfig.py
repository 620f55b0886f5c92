"""The cluster's admin kubeconfig on this host, made of what the first node has and never a copy of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import IecpodError
from iecpod.files.writer import PRIVATE, replace_file
from iecpod.render.kubeconfig import render_kubeconfig


@dataclass(frozen=True, slots=True)
class KubeconfigPhase:
    """Writes `path`, which holds a client key and so is for its owner only (0600)."""

    cluster: DesiredCluster
    admin_conf: AdminConf
    path: Path
    name: str = "kubeconfig"
    summary: str = "admin kubeconfig on this host"

    def probe(self) -> str | None:
        try:
            wanted = self._render()
        except IecpodError:
            return None
        return str(self.path) if self.path.exists() and self.path.read_bytes() == wanted else None

    def run(self) -> None:
        replace_file(self.path, self._render(), PRIVATE)

    def _render(self) -> bytes:
        return render_kubeconfig(self.cluster.name, self.admin_conf.server, self.admin_conf.load()).encode()
