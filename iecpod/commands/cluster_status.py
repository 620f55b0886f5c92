"""What the API server says of a POD's cluster, in two requests."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import CommandFailed, WaitTimeout
from iecpod.phases.kubectl import NODES, Kubectl
from iecpod.phases.verify import RECORD_PATH, is_verified
from iecpod.units import format_age

#: An API server that is well answers an emulated guest within two seconds.
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """`version` is the control plane node's; `verified` tells whether the nodes and image of now were.

    Ages are of the control plane node and of that verification, by this machine's clock; None where nobody knows.
    """

    version: str
    cni: str
    age_seconds: int | None
    verified: bool
    verified_seconds_ago: int | None

    def __str__(self) -> str:
        age = "" if self.age_seconds is None else f", {format_age(self.age_seconds)} old"
        ago = "" if self.verified_seconds_ago is None else f" {format_age(self.verified_seconds_ago)} ago"
        verified = f"verified{ago}" if self.verified else "not verified"
        return f"Kubernetes {self.version}, CNI {self.cni}{age}, {verified}"


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """`status` is None where there is no cluster; `nodes` are the API's, by name."""

    status: ClusterStatus | None = None
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)


def look_at_cluster(kubectl: Kubectl, cluster: DesiredCluster, now: datetime.datetime) -> SeenCluster:
    """What an API server that does not answer has is not known. Raises `NodeUnreachable`."""
    try:
        listing = kubectl.find(NODES, timeout_seconds=_PATIENCE_SECONDS)
        if listing is None:
            return SeenCluster()
        record = kubectl.find(RECORD_PATH, timeout_seconds=_PATIENCE_SECONDS)
    except (CommandFailed, WaitTimeout):
        return SeenCluster()
    nodes = {item["metadata"]["name"]: item for item in listing["items"]}
    first = nodes.get(cluster.control_plane.hostname, {"metadata": {}, "status": {}})
    verified = is_verified(cluster, record)
    status = ClusterStatus(
        version=first["status"].get("nodeInfo", {}).get("kubeletVersion", "unknown"),
        cni=cluster.cni.value,
        age_seconds=_seconds_since(first["metadata"].get("creationTimestamp"), now),
        verified=verified,
        verified_seconds_ago=_seconds_since(_written_at(record), now) if verified and record else None,
    )
    return SeenCluster(status, nodes)


def _written_at(record: dict[str, Any]) -> str | None:
    """When it was written last; what says so is RFC 3339 in UTC, which sorts as it passes."""
    metadata = record.get("metadata", {})
    times = [metadata.get("creationTimestamp"), *(entry.get("time") for entry in metadata.get("managedFields", []))]
    return max((str(time) for time in times if time), default=None)


def _seconds_since(timestamp: str | None, now: datetime.datetime) -> int | None:
    if timestamp is None:
        return None
    made = datetime.datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    return max(0, int((now - made).total_seconds()))
