"""The part of a pod network that is files of the nodes: CNI's own, and a unit that runs from each boot on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iecpod.deploy.node.file_digests import CHECK_DIGESTS, digest_lines
from iecpod.deploy.waiting.node_times import NodeTimes
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import IecpodError
from iecpod.ports import Shell

#: Arguments: digests of files, the unit. One command, as below: each costs an emulated guest tenths of a second.
CHECK = f"""
systemctl is-active --quiet "$2"
{CHECK_DIGESTS}
"""

#: Arguments: the unit, then path and text of each file. A file is there whole or not at all: the runtime watches CNI's.
INSTALL = """
unit=$1
shift
while test $# -gt 0; do
    mkdir -p "${1%/*}"
    printf %s "$2" > "$1.new"
    mv "$1.new" "$1"
    shift 2
done
systemctl daemon-reload
systemctl enable --quiet "$unit"
systemctl restart "$unit"
"""


@dataclass(frozen=True, slots=True)
class CniFiles:
    """The files of the cluster's CNI, of which its unit is to be active."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]

    def is_in_place(self) -> bool:
        """On every node."""
        try:
            return all(run_on_nodes(tuple(self.shells), self._is_in_place).values())
        except IecpodError:
            return False

    def install(self, node_times: NodeTimes) -> None:
        node_times.on_nodes(tuple(self.shells), self._install)

    def _files(self, hostname: str) -> dict[str, str]:
        node = next(node for node in self.cluster.nodes if node.hostname == hostname)
        return self.cluster.cni.node_files(self.cluster, node)

    def _is_in_place(self, hostname: str) -> bool:
        digests = digest_lines(self._files(hostname))
        argv = ["sh", "-euc", CHECK, "check-cni", digests, self.cluster.cni.node_unit]
        return self.shells[hostname].run(argv, check=False).returncode == 0

    def _install(self, hostname: str) -> None:
        pairs = [word for path, text in self._files(hostname).items() for word in (path, text)]
        self.shells[hostname].run(["sh", "-euc", INSTALL, "install-cni", self.cluster.cni.node_unit, *pairs])
