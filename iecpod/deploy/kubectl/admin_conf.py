"""The administrator's credentials as the first node has them: read over SSH once a run, and again where they change."""

from __future__ import annotations

from iecpod.deploy.kubectl.admin_credentials import read_credentials
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import IecpodError
from iecpod.ports import Shell
from iecpod.render.kubeconfig import ADMIN_CONF, Credentials


class AdminConf:
    """Shared by the phases that need it, so that an emulated guest is asked once."""

    def __init__(self, cluster: DesiredCluster, shell: Shell) -> None:
        self.server = f"https://{cluster.api_endpoint}"
        self._shell = shell
        self._kept: Credentials | None = None

    @property
    def node(self) -> str:
        return self._shell.node

    def load(self) -> Credentials:
        """Raises `NodeError` and its kin."""
        if self._kept is None:
            text = self._shell.read_file(ADMIN_CONF)
            self._kept = read_credentials(self._shell.node, ADMIN_CONF, text, self.server)
        return self._kept

    def find(self) -> Credentials | None:
        """None where the node has none, or none that fit, or does not answer."""
        try:
            return self.load()
        except IecpodError:
            return None

    def forget(self) -> None:
        """They are about to be made."""
        self._kept = None
