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
    """`arch` is the control plane's. `low_overhead` makes Kubernetes do less in the background, for emulated guests.

    `endpoint` is the address that nodes and clients reach the API server at, in every certificate and kubeconfig: with
    one control plane its own, with several that of what stands before them.
    """

    name: str
    arch: Arch
    release: Release
    cni: Cni
    nodes: tuple[ClusterNode, ...]
    mgmt_cidr: IPv4Network
    mgmt_mtu: int
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    low_overhead: bool
    endpoint: IPv4Address

    @property
    def control_planes(self) -> tuple[ClusterNode, ...]:
        return tuple(node for node in self.nodes if node.role is Role.CONTROL_PLANE)

    @property
    def control_plane(self) -> ClusterNode:
        """The one that `kubeadm init` runs on, and that phases speak to."""
        return self.control_planes[0]

    @property
    def workers(self) -> tuple[ClusterNode, ...]:
        return tuple(node for node in self.nodes if node.role is Role.WORKER)

    @property
    def api_port(self) -> int:
        return 6443

    @property
    def api_endpoint(self) -> str:
        return f"{self.endpoint}:{self.api_port}"


def node_pod_cidr(pod_cidr: IPv4Network, index: int) -> IPv4Network:
    """The index-th /24 of the pod CIDR, as kube-controller-manager's default node mask gives them out.

    `check_cidrs` has made sure that the pod CIDR holds one for every node.
    """
    return IPv4Network((int(pod_cidr.network_address) + (index << 8), 24))
