"""The addresses of a workload, and the way to it from outside the cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from iecpod.deploy.kubectl.kubectl import name_of
from iecpod.deploy.kubectl.pod_status import cluster_ip_of, ip_of
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeError
from iecpod.http.client import Patience, Size, read_page
from iecpod.http.failures import WebError
from iecpod.outside_json import Json

#: Opens a TCP connection from the machine that iecpod runs on: address, port, seconds.
OpenSocket = Callable[[str, int, float], socket.socket]

_FETCH_SECONDS = 60.0
_PAGE_SIZE = Size(most_bytes=1024 * 1024)
_PATIENCE = Patience(seconds=_FETCH_SECONDS, stalled_seconds=_FETCH_SECONDS)


def check_addresses(cluster: DesiredCluster, service: Json, pods: Sequence[Json]) -> None:
    """The service and the pods have addresses of the planned CIDRs. Raises `NodeError`."""
    places = [("service", cluster_ip_of(service), cluster.service_cidr)]
    places += [(f"pod {name_of(pod)}", ip_of(pod), cluster.pod_cidr) for pod in pods]
    for what, address, cidr in places:
        if address not in cidr:
            raise NodeError(
                cluster.control_plane.hostname,
                f"{what} has address {address}, which is not in the planned {cidr}",
                "the network plugin takes its addresses from elsewhere: look at its configuration",
            )


def fetch_from_outside(open_socket: OpenSocket, address: str, port: int) -> str:
    """The page at a node's port, fetched from this machine. Raises OSError where nothing answers."""
    with open_socket(address, port, _FETCH_SECONDS) as connection:
        connection.settimeout(_FETCH_SECONDS)
        try:
            return read_page(connection, f"{address}:{port}", _PAGE_SIZE, _PATIENCE).decode(errors="replace")
        except WebError as error:
            raise OSError(f"no HTTP answer: {error}") from error
