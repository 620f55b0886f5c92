"""Nodes that run again after a restore, as the API server knows it: each kubelet has renewed its lease since."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from iecpod.deploy.kubectl.kubectl import NODES, Kubectl, api_awaited, internal_ip, is_ready, name_of
from iecpod.deploy.kubectl.network_health import find_pod_faults
from iecpod.deploy.node.guest_instant import MOST_SECONDS_OFF
from iecpod.deploy.waiting.waits import Waits
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import WaitTimeout
from iecpod.outside_json import Json
from iecpod.units import parse_utc
from iecpod.wait import NotYet

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_RENEWED_SECONDS = 20.0


@dataclass(slots=True)
class RenewedLeases:
    """Asked from this host, in tenths of a second. The first login to a restored guest takes ten seconds, since all
    that its SSH server does is translated again there; and it says no more: the time in a lease is by the clock of its
    node, and the kubelet writes it, which stands still until that clock is right.
    """

    cluster: DesiredCluster
    kubectl: Kubectl
    waits: Waits
    unix_time: Callable[[], float] = time.time
    _since: float = field(init=False)
    _found: str | None = field(init=False, default=None)
    _is_known: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._since = self.unix_time()

    def find(self) -> str | None:
        """That all nodes are Ready, with their pod network; None where that is not seen in time. It waits once."""
        if not self._is_known:
            self._is_known = True
            try:
                self._found = self.waits.wait_for("renewed leases of all nodes", self._look, seconds=_RENEWED_SECONDS)
            except WaitTimeout:
                self._found = None
        return self._found

    def _look(self) -> str:
        with api_awaited():
            waiting = [*self._missing(), *find_pod_faults(self.kubectl, self.cluster).values()]
        if waiting:
            raise NotYet("; ".join(waiting))
        return f"{len(self.cluster.nodes)} nodes Ready, with leases renewed since"

    def _missing(self) -> Iterator[str]:
        renewed = {name_of(item): _renewed_at(item) for item in self.kubectl.load(LEASES).entries("items")}
        nodes = {name_of(item): item for item in self.kubectl.load(NODES).entries("items")}
        latest = self.unix_time() + MOST_SECONDS_OFF
        for node in self.cluster.nodes:
            seen = nodes.get(node.hostname)
            if not self._since - MOST_SECONDS_OFF <= renewed.get(node.hostname, 0.0) <= latest:
                yield f"{node.hostname} has not renewed its lease"
            elif seen is None or not is_ready(seen) or internal_ip(seen) != str(node.address):
                yield f"{node.hostname} is not Ready at {node.address}"


def _renewed_at(lease: Json) -> float:
    """Unix time, without its fraction; 0 where it has none that can be read. Kubernetes writes microseconds."""
    text = lease.at("spec").text("renewTime", "")
    try:
        return parse_utc(f"{text.removesuffix('Z').partition('.')[0]}Z")
    except ValueError:
        return 0.0
