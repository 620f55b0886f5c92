"""A cluster whose nodes are all Ready, with their addresses on mgmt, and its kubeconfig on this host."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.design.cluster import DesiredCluster
from iecpod.design.pace import Pace
from iecpod.design.scenario import Cni
from iecpod.errors import CommandFailed, IecpodError
from iecpod.phases.kubectl import ADMIN_CONF, NODES, Kubectl, internal_ip, is_ready
from iecpod.ports import Clock, Reporter, Shell
from iecpod.wait import NotYet, poll

_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class ReadyPhase:
    cluster: DesiredCluster
    shell: Shell
    pace: Pace
    clock: Clock
    reporter: Reporter
    name: str = "ready"
    summary: str = "all nodes Ready, with their addresses on mgmt"

    def probe(self) -> str | None:
        listing = Kubectl(self.shell).find(NODES)
        missing = self._missing(listing["items"]) if listing else ["the API server does not answer"]
        return None if missing else f"{len(self.cluster.nodes)} nodes Ready"

    def run(self) -> None:
        kubectl = Kubectl(self.shell)
        if self.cluster.cni is Cni.BRIDGE:
            self._assign_pod_cidrs(kubectl)

        def probe() -> None:
            try:
                missing = self._missing(kubectl.load(NODES)["items"])
            except CommandFailed as error:
                raise NotYet(error.cause) from error
            if missing:
                raise NotYet("; ".join(missing))

        poll(
            "all nodes Ready",
            probe,
            timeout_seconds=self.pace.seconds(_READY_SECONDS),
            clock=self.clock,
            remedy="see `iecpod kubectl describe nodes`; run deploy again to go on waiting",
        )

    def _assign_pod_cidrs(self, kubectl: Kubectl) -> None:
        """Says in the API what the bridge CNI does; a node's podCIDR can be set once and is never changed."""
        assigned = {item["metadata"]["name"]: item["spec"].get("podCIDR") for item in kubectl.load(NODES)["items"]}
        for node in self.cluster.nodes:
            if not assigned.get(node.hostname):
                cidr = str(node.pod_cidr)
                patch = json.dumps({"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})
                kubectl.run("patch", "node", node.hostname, "--patch", patch)

    def _missing(self, items: list[dict[str, Any]]) -> list[str]:
        seen = {item["metadata"]["name"]: item for item in items}
        missing = []
        for node in self.cluster.nodes:
            item = seen.get(node.hostname)
            if item is None:
                missing.append(f"{node.hostname} has not joined")
            elif internal_ip(item) != str(node.address):
                missing.append(f"{node.hostname} has address {internal_ip(item) or 'none'}, not {node.address}")
            elif not is_ready(item):
                missing.append(f"{node.hostname} is NotReady: {_reason(item)}")
        return missing


def _reason(item: dict[str, Any]) -> str:
    conditions = item["status"].get("conditions", [])
    return next((str(entry.get("message", "")) for entry in conditions if entry["type"] == "Ready"), "no status yet")


@dataclass(frozen=True, slots=True)
class KubeconfigPhase:
    """Copies admin.conf to `path`, which holds a client key and so is for its owner only (0600)."""

    shell: Shell
    path: Path
    name: str = "kubeconfig"
    summary: str = "admin kubeconfig on this host"

    def probe(self) -> str | None:
        try:
            remote = self.shell.read_file(ADMIN_CONF)
        except IecpodError:
            return None
        return str(self.path) if self.path.exists() and self.path.read_bytes() == remote else None

    def run(self) -> None:
        content = self.shell.read_file(ADMIN_CONF)
        unfinished = self.path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(content)
        unfinished.replace(self.path)
