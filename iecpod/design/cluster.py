"""The Kubernetes cluster that a POD is to carry, as values."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from iecpod.design.release import Release
from iecpod.design.scenario import Cni, Role
from iecpod.model import Arch


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """`address` is on mgmt, as `mgmt_device`; `pod_cidr` is the node's own part of the cluster's pod CIDR."""

    hostname: str
    role: Role
    address: IPv4Address
    mgmt_device: str
    pod_cidr: IPv4Network


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredCluster:
    """`arch` is the control plane's. `calm` stretches Kubernetes' own periods for emulated guests (`Pace.calm`)."""

    name: str
    arch: Arch
    release: Release
    cni: Cni
    nodes: tuple[ClusterNode, ...]
    mgmt_cidr: IPv4Network
    mgmt_mtu: int
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    calm: bool

    @property
    def control_plane(self) -> ClusterNode:
        return next(node for node in self.nodes if node.role is Role.CONTROL_PLANE)

    @property
    def workers(self) -> tuple[ClusterNode, ...]:
        return tuple(node for node in self.nodes if node.role is Role.WORKER)

    @property
    def api_endpoint(self) -> str:
        return f"{self.control_plane.address}:6443"


def node_pod_cidr(pod_cidr: IPv4Network, index: int) -> IPv4Network:
    """The index-th /24 of the pod CIDR, as kube-controller-manager's default node mask gives them out.

    `check_cidrs` has made sure that the pod CIDR holds one for every node.
    """
    return IPv4Network((int(pod_cidr.network_address) + (index << 8), 24))
