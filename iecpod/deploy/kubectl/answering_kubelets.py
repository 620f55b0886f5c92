"""Nodes that run again after a restore, as the API server sees it: each kubelet answers, by a clock that is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from iecpod.deploy.kubectl.kubectl import NODES, Kubectl, api_awaited, internal_ip, is_ready, name_of
from iecpod.deploy.kubectl.network_health import find_pod_faults
from iecpod.deploy.node.guest_instant import MOST_SECONDS_OFF
from iecpod.deploy.waiting.waits import Waits
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.errors import WaitTimeout
from iecpod.outside_json import Json
from iecpod.wait import NotYet

_WAKING_SECONDS = 20.0
#: Of one kubelet, which the API server asks: the first answer of a restored one takes a second.
_ANSWER_SECONDS = 10.0
_BETWEEN_SECONDS = 0.5
#: A `Date` leaves the fraction of its second out.
_DATE_SECONDS = 1.0


def _health_path(hostname: str) -> str:
    """Where the API server passes the question on to a kubelet (kubernetes.io: API server as a proxy for nodes)."""
    return f"{NODES}/{quote(hostname, safe='')}/proxy/healthz"


@dataclass(slots=True)
class AnsweringKubelets:
    """Asked from this host, in tenths of a second. The first login to a restored guest takes ten seconds, since all
    that its SSH server does is translated again there; and it says no more: the `Date` of an answer is by the clock of
    the node, and the kubelet stands still until that is right. Leases say the same, up to ten seconds later.
    """

    cluster: DesiredCluster
    kubectl: Kubectl
    waits: Waits
    unix_time: Callable[[], float] = time.time
    _found: str | None = field(init=False, default=None)
    _is_known: bool = field(init=False, default=False)

    def find(self) -> str | None:
        """That all nodes are Ready, with their pod network; None where that is not seen in time. It waits once."""
        if not self._is_known:
            self._is_known = True
            try:
                self._found = self.waits.wait_for(
                    "answers of all kubelets", self._look, seconds=_WAKING_SECONDS, interval_seconds=_BETWEEN_SECONDS
                )
            except WaitTimeout:
                self._found = None
        return self._found

    def _look(self) -> str:
        with api_awaited():
            waiting = [*self._missing(), *find_pod_faults(self.kubectl, self.cluster).values()]
        if waiting:
            raise NotYet("; ".join(waiting))
        return f"{len(self.cluster.nodes)} nodes Ready, their kubelets within {MOST_SECONDS_OFF} s of the host's time"

    def _missing(self) -> Iterator[str]:
        nodes = {name_of(item): item for item in self.kubectl.load(NODES).entries("items")}
        for node in self.cluster.nodes:
            if not _is_ready_at(nodes.get(node.hostname), node):
                yield f"{node.hostname} is not Ready at {node.address}"
            elif not self._is_right(node):
                yield f"the kubelet of {node.hostname} does not answer with the host's time"

    def _is_right(self, node: ClusterNode) -> bool:
        asked_at = self.unix_time()
        sent_at = self.kubectl.sent_at(_health_path(node.hostname), timeout_seconds=_ANSWER_SECONDS)
        if sent_at is None:
            return False
        earliest = asked_at - MOST_SECONDS_OFF - _DATE_SECONDS
        return earliest < sent_at <= self.unix_time() + MOST_SECONDS_OFF


def _is_ready_at(seen: Json | None, node: ClusterNode) -> bool:
    return seen is not None and is_ready(seen) and internal_ip(seen) == str(node.address)
