"""The part of a pod network that is files of the nodes: CNI's own, and a unit that runs from each boot on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.errors import IecpodError
from iecpod.phases.parallel import run_on_nodes
from iecpod.ports import Shell
from iecpod.watch import Watch


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """`render` returns text by path for a node; `unit` is the one among them that is to be active."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    unit: str
    render: Callable[[ClusterNode], dict[str, str]]

    def is_in_place(self) -> bool:
        """On every node."""
        try:
            return all(run_on_nodes(tuple(self.shells), self._is_in_place).values())
        except IecpodError:
            return False

    def install(self, watch: Watch) -> None:
        watch.on_nodes(tuple(self.shells), self._install)

    def _files(self, hostname: str) -> dict[str, str]:
        return self.render(next(node for node in self.cluster.nodes if node.hostname == hostname))

    def _is_in_place(self, hostname: str) -> bool:
        shell = self.shells[hostname]
        active = shell.run(["systemctl", "is-active", self.unit], check=False).stdout.strip() == "active"
        return active and all(
            shell.run(["cat", path], check=False).stdout == text for path, text in self._files(hostname).items()
        )

    def _install(self, hostname: str) -> None:
        shell = self.shells[hostname]
        for path, text in self._files(hostname).items():
            shell.write_file(path, text.encode())
        shell.run(["systemctl", "daemon-reload"])
        shell.run(["systemctl", "enable", self.unit])
        shell.run(["systemctl", "restart", self.unit])
