"""Nodes that left the PDF: drained, their machines removed, then taken out of the cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from iecpod.deploy.kubectl.kubectl import NODES, Kubectl, find_nodes, is_ready
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.errors import CommandFailed
from iecpod.outside_json import Json

_DRAIN_SECONDS = 120.0
#: kubectl ends by itself before it is given up.
_GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SurplusMachines:
    """Machines of the POD that belong to no node any more; `find` gives their host names, `remove` takes such."""

    find: Callable[[], Sequence[str]]
    remove: Callable[[Sequence[str]], object]


@dataclass(frozen=True, slots=True)
class PrunePhase:
    """`former` are host names of nodes that were deployed from the PDF and are no longer in it.

    Nodes of the cluster that iecpod never made are left alone. Not `wanted`, nothing is done: a deploy that finds
    machines of such nodes is refused before.
    """

    former: Sequence[str]
    machines: SurplusMachines
    kubectl: Kubectl
    tools: PhaseTools
    wanted: bool
    name: str = field(default="prune")
    summary: str = field(default="nodes that left the PDF drained and removed")

    def probe(self) -> str | None:
        if not self.wanted:
            return "not asked for"
        return None if self._surplus() or self._listed() else "nothing to remove"

    def run(self) -> None:
        surplus = self._surplus()
        listed = self._listed()
        for hostname in dict.fromkeys((*surplus, *listed)):
            if hostname in listed:
                self._drain(hostname, listed[hostname])
            if hostname in surplus:
                self.machines.remove([hostname])
            if hostname in listed:
                self.kubectl.discard(f"{NODES}/{hostname}")
            self.tools.reporter.progress("removed from the POD", hostname)

    def _surplus(self) -> Sequence[str]:
        return self.machines.find()

    def _listed(self) -> dict[str, Json]:
        """Former nodes that the API server still lists."""
        names = {*self.former, *self._surplus()}
        if not names:
            return {}
        listed = find_nodes(self.kubectl, self.tools.waits)
        return {name: item for name, item in listed.items() if name in names}

    def _drain(self, hostname: str, node: Json) -> None:
        """Pods of a node that does not answer cannot end; the API server forgets them with the node."""
        if not is_ready(node):
            self.tools.reporter.warn(f"{hostname} is not Ready: it is removed without being drained")
            return
        seconds = self.tools.deadlines.seconds(_DRAIN_SECONDS)
        self.tools.reporter.progress("draining", hostname)
        flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--timeout={seconds:.0f}s")
        try:
            self.kubectl.run("drain", hostname, *flags, timeout_seconds=seconds + _GRACE_SECONDS)
        except CommandFailed as error:
            command = self.tools.advice.command
            error.remedy = (
                f"see which pods stay with `{command('kubectl', 'describe', 'node', hostname)}`, then run "
                f"`{command('deploy', '--prune')}` again"
            )
            raise
