"""The part of a pod network that is files of the nodes: CNI's own, and a unit that runs from each boot on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iecpod.deploy.node.file_digests import CHECK_DIGESTS, digest_lines
from iecpod.deploy.node.node_probe import IS_ACTIVE, ask, probe_script, read_probe
from iecpod.deploy.waiting.node_times import NodeTimes
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.waits import Waits
from iecpod.design.cluster import DesiredCluster
from iecpod.ports import Shell

#: Arguments: digests of files, the unit. One command, as below: each costs an emulated guest tenths of a second.
CHECK = probe_script(f"""
{IS_ACTIVE}
is_active "$2"
{CHECK_DIGESTS}
""")

#: Arguments: the unit, then path and text of each file. A file is there whole or not at all: the runtime watches CNI's.
#: `enable` has systemd read all units again, which takes an emulated guest seconds.
INSTALL = """
unit=$1
shift
while test $# -gt 0; do
    mkdir -p "${1%/*}"
    printf %s "$2" > "$1.new"
    mv "$1.new" "$1"
    shift 2
done
systemctl enable --quiet "$unit"
systemctl restart "$unit"
"""


@dataclass(frozen=True, slots=True)
class CniFiles:
    """The files of the cluster's CNI, of which its unit is to be active."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]

    def is_in_place(self, waits: Waits) -> bool:
        """On every node. Raises `WaitTimeout` where one does not say it."""
        found = run_on_nodes(tuple(self.shells), lambda hostname: self._is_in_place(hostname, waits))
        return all(found.values())

    def install(self, node_times: NodeTimes) -> None:
        node_times.on_nodes(tuple(self.shells), self._install)

    def _files(self, hostname: str) -> dict[str, str]:
        node = next(node for node in self.cluster.nodes if node.hostname == hostname)
        return self.cluster.cni.node_files(self.cluster, node)

    def _is_in_place(self, hostname: str, waits: Waits) -> bool:
        digests = digest_lines(self._files(hostname))
        return ask(self.shells[hostname], waits, CHECK, digests, self.cluster.cni.node_unit, read=read_probe)

    def _install(self, hostname: str) -> None:
        pairs = [word for path, text in self._files(hostname).items() for word in (path, text)]
        self.shells[hostname].run(["sh", "-euc", INSTALL, "install-cni", self.cluster.cni.node_unit, *pairs])
