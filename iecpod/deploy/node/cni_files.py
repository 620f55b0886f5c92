"""The part of a pod network that is files of the nodes: CNI's own, and a unit that runs from each boot on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from iecpod.deploy.waiting.node_times import NodeTimes
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import IecpodError
from iecpod.ports import Shell

#: Argument: the unit; input: digests of files. One command, as below: each costs an emulated guest a second.
CHECK = """
systemctl is-active --quiet "$1"
sha256sum --check --status --strict
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
        digests = "".join(
            f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in self._files(hostname).items()
        )
        argv = ["sh", "-euc", CHECK, "check-cni", self.cluster.cni.node_unit]
        return self.shells[hostname].run(argv, stdin=digests.encode(), check=False).returncode == 0

    def _install(self, hostname: str) -> None:
        pairs = [word for path, text in self._files(hostname).items() for word in (path, text)]
        self.shells[hostname].run(["sh", "-euc", INSTALL, "install-cni", self.cluster.cni.node_unit, *pairs])
