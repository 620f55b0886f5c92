"""What the API server says of a POD's cluster, in two requests."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from iecpod.deploy.kubectl.kubectl import NODES, Kubectl, name_of
from iecpod.deploy.phases.verify import RECORD_PATH, is_verified
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import IecpodError
from iecpod.outside_json import Json
from iecpod.units import format_age, parse_utc

#: An API server that is well answers an emulated guest within two seconds.
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """`version` is the control plane node's; `verified` says whether the nodes and image of now were.

    Ages are of the control plane node and of that verification, by this machine's clock; None where unknown.
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
    """`status` is None where there is no cluster, or where the API server is silent; `nodes` are the API's, by name."""

    status: ClusterStatus | None = None
    nodes: dict[str, Json] = field(default_factory=dict)
    is_silent: bool = False


def look_at_cluster(kubectl: Kubectl, cluster: DesiredCluster, now: datetime.datetime) -> SeenCluster:
    """What an API server has that does not answer, or not in a way that is understood, is not known."""
    try:
        return _look(kubectl, cluster, now)
    except IecpodError:
        return SeenCluster(is_silent=True)


def _look(kubectl: Kubectl, cluster: DesiredCluster, now: datetime.datetime) -> SeenCluster:
    listing = kubectl.find(NODES, timeout_seconds=_PATIENCE_SECONDS)
    if listing is None:
        return SeenCluster()
    record = kubectl.find(RECORD_PATH, timeout_seconds=_PATIENCE_SECONDS)
    nodes = {name_of(item): item for item in listing.entries("items")}
    first = nodes.get(cluster.control_plane.hostname)
    info = first.at("status").get("nodeInfo") if first else None
    verified = is_verified(cluster, record)
    status = ClusterStatus(
        version=info.text("kubeletVersion", "unknown") if info else "unknown",
        cni=cluster.cni.name,
        age_seconds=_seconds_since(first.at("metadata").text("creationTimestamp", "") if first else "", now),
        verified=verified,
        verified_seconds_ago=_seconds_since(_written_at(record), now) if verified and record else None,
    )
    return SeenCluster(status, nodes)


def _written_at(record: Json) -> str:
    """When it was written last; what says so is RFC 3339 in UTC, which sorts as it passes."""
    metadata = record.get("metadata")
    if metadata is None:
        return ""
    fields = metadata.entries("managedFields")
    return max([metadata.text("creationTimestamp", ""), *(entry.text("time", "") for entry in fields)])


def _seconds_since(timestamp: str, now: datetime.datetime) -> int | None:
    """None where that is no time."""
    try:
        made = parse_utc(timestamp)
    except ValueError:
        return None
    return max(0, int(now.timestamp() - made))
