"""A cluster whose nodes are all Ready, with their addresses on mgmt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from iecpod.deploy.kubectl.kubectl import (
    NO_ANSWER,
    NODES,
    Kubectl,
    KubectlAt,
    condition_of,
    internal_ip,
    is_ready,
    name_of,
)
from iecpod.deploy.kubectl.network_health import find_pod_faults
from iecpod.deploy.kubectl.node_cidrs import assign_pod_cidrs
from iecpod.deploy.kubectl.object_waits import wait_for_objects
from iecpod.deploy.kubectl.pods_not_running import describe_pods_not_running
from iecpod.deploy.node.node_probe import await_answer
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import DesiredCluster, NodeCidrs
from iecpod.errors import IecpodError, WaitTimeout
from iecpod.outside_json import Json
from iecpod.ports import Shell
from iecpod.results import DONE, FAILED, Failure, NodeResult
from iecpod.wait import NotYet

_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class ReadyPhase:
    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    tools: PhaseTools
    name: str = "ready"
    summary: str = "all nodes Ready, with their addresses on mgmt and their pod network"
    kubectl_at: KubectlAt = Kubectl

    @property
    def shell(self) -> Shell:
        return self.shells[self.cluster.control_plane.hostname]

    def probe(self) -> str | None:
        kubectl = self.kubectl_at(self.shell)
        listing = kubectl.find_awaited(NODES, self.tools.waits)
        if listing is None or self._missing(listing.entries("items"), self._boots()):
            return None
        try:
            faults = find_pod_faults(kubectl, self.cluster)
        except NO_ANSWER:
            return None  # `run` waits for the answer
        return None if faults else f"{len(self.cluster.nodes)} nodes Ready"

    def run(self) -> None:
        kubectl = self.kubectl_at(self.shell)
        if self.cluster.cni.node_cidrs is NodeCidrs.PLANNED:
            self._assign_pod_cidrs(kubectl)
        self._wait_until_ready(kubectl)

    def _wait_until_ready(self, kubectl: Kubectl) -> None:
        """Each node is noted when it is seen Ready first."""
        start = self.tools.clock.now()
        boots = self._boots()
        waiting = {node.hostname: "the API server has not answered" for node in self.cluster.nodes}
        for hostname in waiting:
            self.tools.reporter.node_started(hostname)

        def probe(kubectl: Kubectl) -> None:
            missing = self._missing(kubectl.load(NODES).entries("items"), boots)
            missing = _with_network(missing, find_pod_faults(kubectl, self.cluster))
            for hostname in [hostname for hostname in waiting if hostname not in missing]:
                del waiting[hostname]
                self.tools.node_times.note(NodeResult(hostname, DONE, self.tools.clock.now() - start))
            waiting.update(missing)
            if missing:
                raise NotYet("; ".join(missing.values()))

        try:
            wait_for_objects(
                "all nodes Ready",
                probe,
                kubectl,
                [path for path in (NODES, self.cluster.cni.daemon_pods) if path],
                self.tools.waits,
                seconds=_READY_SECONDS,
                console_of=self.shell.node,
                remedy=f"see `{self.tools.advice.command('kubectl', 'describe', 'nodes')}`",
            )
        except IecpodError as error:
            if isinstance(error, WaitTimeout):
                error.evidence = "\n".join(filter(None, (self._pods_not_running(), error.evidence)))
            for hostname, why in waiting.items():
                failure = Failure(why, error.remedy, "")
                self.tools.node_times.note(NodeResult(hostname, FAILED, self.tools.clock.now() - start, failure))
            raise

    def _pods_not_running(self) -> str:
        """Why nodes are not Ready is often said by the pods of their network."""
        namespaces = ("kube-system", *self.cluster.cni.namespaces)
        return describe_pods_not_running(self.kubectl_at(self.shell), namespaces)

    def _assign_pod_cidrs(self, kubectl: Kubectl) -> None:
        """Says in the API what the files on the nodes do; a node's podCIDR can be set once and is never changed."""
        listing = kubectl.find_awaited(NODES, self.tools.waits)
        lacking = {name_of(item) for item in listing.entries("items") if not _cidr_of(item)} if listing else set()
        if lacking:
            assign_pod_cidrs(kubectl, [node for node in self.cluster.nodes if node.hostname in lacking])

    def _boots(self) -> dict[str, str]:
        """By host name, what distinguishes the present boot of a node from those before it. Raises `WaitTimeout`."""

        def read(hostname: str) -> str:
            def look() -> str:
                return self.shells[hostname].run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()

            return await_answer(hostname, self.tools.waits, look, seconds=_READY_SECONDS, interval_seconds=1.0)

        return run_on_nodes(tuple(self.shells), read)

    def _missing(self, items: Iterable[Json], boots: Mapping[str, str]) -> dict[str, str]:
        """What each node lacks; nothing of nodes that are as they should be.

        A node that went off counts as Ready for most of a minute, so what it said in an earlier boot does not count.
        """
        seen = {name_of(item): item for item in items}
        missing = {}
        for node in self.cluster.nodes:
            item = seen.get(node.hostname)
            if item is None:
                missing[node.hostname] = f"{node.hostname} has not joined"
            elif internal_ip(item) != str(node.address):
                seen_address = internal_ip(item) or "none"
                missing[node.hostname] = f"{node.hostname} has address {seen_address}, not {node.address}"
            elif _boot_of(item) != boots[node.hostname]:
                missing[node.hostname] = f"{node.hostname} has not reported since it booted"
            elif not is_ready(item):
                missing[node.hostname] = f"{node.hostname} is NotReady: {_reason(item)}"
        return missing


def _with_network(missing: Mapping[str, str], faults: Mapping[str, str]) -> dict[str, str]:
    """What nodes lack, with what is wrong with the pods of their network."""
    unready = {node: f"{why} ({faults[node]})" if node in faults else why for node, why in missing.items()}
    ready = {node: f"{node} has no pod network: {fault}" for node, fault in faults.items() if node not in missing}
    return unready | ready


def _reason(item: Json) -> str:
    return condition_of(item, "Ready", "message") if condition_of(item, "Ready") else "no status yet"


def _cidr_of(item: Json) -> str:
    spec = item.get("spec")
    return spec.text("podCIDR", "") if spec else ""


def _boot_of(item: Json) -> str:
    info = item.at("status").get("nodeInfo")
    return info.text("bootID", "") if info else ""
