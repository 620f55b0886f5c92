"""Ways to a workload that a page fetched on a node does not show: full packets, names, and from outside the cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import NodeError
from iecpod.outside_json import Json
from iecpod.phases.kubectl import name_of
from iecpod.phases.pod_status import cluster_ip_of, ip_of, node_of
from iecpod.ports import Shell
from iecpod.web import Patience, Size, WebError, read_page

#: Opens a TCP connection from the machine that iecpod runs on: address, port, seconds.
OpenSocket = Callable[[str, int, float], socket.socket]

_FETCH_SECONDS = 60.0
_PAGE_SIZE = Size(most_bytes=1024 * 1024)
_PATIENCE = Patience(seconds=_FETCH_SECONDS, stalled_seconds=_FETCH_SECONDS)

#: In the network namespace that has the first address: pings the second with the largest packet that its device takes,
#: forbidding fragments (28 bytes are the headers of IPv4 and ICMP). Exit 3: no namespace has the address.
_PING_FULL_MTU = """
for process in $(lsns --noheadings --type net --output PID); do
    inside="nsenter --target $process --net ip -oneline"
    device=$($inside -4 address | awk -v ip="$1/" 'index($4, ip) == 1 {print $2}')
    test -n "$device" || continue
    mtu=$($inside link show dev "$device" | sed -n 's/.* mtu \\([0-9]*\\) .*/\\1/p')
    exec nsenter --target "$process" --net ping -c 3 -i 0.2 -W 10 -M do -s $((mtu - 28)) "$2"
done
exit 3
"""


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


def check_full_mtu(shells: Mapping[str, Shell], client: Json, server: Json) -> None:
    """A packet of the pods' full MTU gets from one to the other in one piece. Raises `NodeError`."""
    hostname, own, other = node_of(client), ip_of(client), ip_of(server)
    if hostname not in shells:
        raise client.refuse(f"spec.nodeName: {hostname} is no node of the POD")
    result = shells[hostname].run(["sh", "-c", _PING_FULL_MTU, "ping", str(own), str(other)], check=False)
    if result.returncode != 0:
        last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        raise NodeError(
            hostname,
            f"packets of full size do not get from pod {own} to pod {other} on {node_of(server)}: "
            + (last[0] if last else "no namespace has the pod's address"),
            "the pods' MTU is larger than the path carries: check idf.fuel.network.interface_mtu and the lab's bridges",
        )


def fetch_from_outside(open_socket: OpenSocket, address: str, port: int) -> str:
    """The page at a node's port, fetched from this machine. Raises OSError where nothing answers."""
    with open_socket(address, port, _FETCH_SECONDS) as connection:
        connection.settimeout(_FETCH_SECONDS)
        try:
            return read_page(connection, f"{address}:{port}", _PAGE_SIZE, _PATIENCE).decode(errors="replace")
        except WebError as error:
            raise OSError(f"no HTTP answer: {error}") from error
