"""The Kubernetes cluster that a POD is to carry, as values, and what makes one CNI another."""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from iecpod.design.etcd_tls import EtcdTls
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.model import Arch
from iecpod.options.choices import Encapsulation
from iecpod.outside_json import Json
from iecpod.release.release import Manifest, Release
from iecpod.release.scenario import Role


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


class NodeCidrs(enum.Enum):
    """How nodes get their pod CIDRs."""

    #: kube-controller-manager or the CNI gives out the next one when a node joins.
    ALLOCATED = "allocated"
    #: Those of the plan are on the nodes before they join, and in the API when they have joined.
    PLANNED = "planned"
    #: Those of the plan are in the API, each in a Node that its kubelet takes over, before the CNI's pods run.
    REGISTERED = "registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTraces:
    """What the programs of a CNI make on nodes, so that it can be undone on machines that stay.

    `devices` and `ipsets` are patterns of a shell; `lasting_devices` are those that stay as long as their kernel module
    does. `rules` are parts of iptables' rules, as extended regular expressions. `directories` are of data, some of
    them mount points.
    """

    devices: tuple[str, ...] = ()
    lasting_devices: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    ipsets: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()


class Transport(enum.Enum):
    """Protocols of ports."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePort:
    """A port of the node's own that a program of the CNI, or the kernel for it, listens on.

    With `for_nodes`, other nodes send to it; with `on_control_plane`, only control planes have it.
    """

    transport: Transport
    number: int
    for_nodes: bool = True
    on_control_plane: bool = False

    def is_on(self, role: Role) -> bool:
        return role is Role.CONTROL_PLANE or not self.on_control_plane

    def __str__(self) -> str:
        return f"{self.transport.name} {self.number}"


#: Where nodes learn routes from each other (RFC 4271).
BGP_PORT = 179

#: Makes certificates for Calico's own etcd, which also has that address.
EtcdTlsMaker = Callable[[IPv4Address], EtcdTls]


class Cni(abc.ABC):
    """How the pods of a cluster get their network: all that one CNI has and another has not.

    There is one object of each, in a module of `iecpod/cni`. What a CNI does not override, it has no need of.
    """

    #: As scenarios and releases name it.
    name: str
    #: Of the phase that makes it, for people.
    summary: str
    node_cidrs = NodeCidrs.ALLOCATED
    #: Whether Kubernetes' network policies are in force.
    enforces_policies = False
    #: Whether packets to pods of another node are sent to that node, so that all nodes have to be in one network.
    routes_directly = False
    #: Whether nodes learn routes to the pods of others, by a protocol, some time after its pods run.
    learns_routes = False
    #: Whether it is applied as a manifest.
    has_manifest = True
    #: For manifests with objects larger than an annotation may be.
    is_applied_on_server = False
    #: The systemd unit of every node that is among `node_files`.
    node_unit = ""
    #: What runs on every node: the name of its pods, and where the API lists them. Empty where it consists of files.
    daemon = ""
    daemon_pods = ""
    traces = NodeTraces()
    #: Kernel modules that it uses, with any release and settings; `kernel_modules` has those of a release.
    modules: tuple[str, ...] = ()
    #: Where its pods are, besides kube-system.
    namespaces: tuple[str, ...] = ()
    #: Arguments of kubectl that show its state.
    status_query: tuple[str, ...] = ("get", "pods", "--all-namespaces")

    def __repr__(self) -> str:
        return self.name

    @property
    def node_unit_path(self) -> str:
        return f"/etc/systemd/system/{self.node_unit}" if self.node_unit else ""

    @property
    def has_planned_cidrs(self) -> bool:
        """Whether nodes get the pod CIDRs of the plan, and not those that are next when they join."""
        return self.node_cidrs is not NodeCidrs.ALLOCATED

    def ports(self, release: Release) -> tuple[NodePort, ...]:
        """Those that have to be free on a node, and open between nodes."""
        return ()

    def kernel_modules(self, release: Release) -> tuple[str, ...]:
        """Those that a node has to have, besides what every node has."""
        return self.modules

    def node_files(self, cluster: DesiredCluster, node: ClusterNode) -> dict[str, str]:
        """Text by path of what a node has before it joins."""
        return {}

    def manifests(self, release: Release) -> tuple[Manifest, ...]:
        """What the release names for it, in the order in which it is applied."""
        return ()

    def encapsulation(self, release: Release) -> Encapsulation | None:
        """What `--calico-encapsulation` chooses; None where there is no such choice."""
        return None

    def with_encapsulation(self, release: Release, encapsulation: Encapsulation) -> Release:
        """The release with another one than its own, for a CNI that has the choice."""
        return release

    def render_manifest(
        self, texts: Sequence[ManifestText], cluster: DesiredCluster, make_etcd_tls: EtcdTlsMaker
    ) -> PatchedManifest:
        """What is applied, made of the release's manifests. Raises `DescriptorError` with everything they lack."""
        return PatchedManifest("", ())

    @abc.abstractmethod
    def find_applied(self, cluster: DesiredCluster, find: Callable[[str], Json | None]) -> str | None:
        """What the API has of it, in words; None where that is not there, or not as wanted. Files are no part of it.

        `find` gives what the API has at a path, None where there is nothing.
        """


def node_pod_cidr(pod_cidr: IPv4Network, index: int) -> IPv4Network:
    """The index-th /24 of the pod CIDR, as kube-controller-manager's default node mask gives them out.

    `check_cidrs` has made sure that the pod CIDR holds one for every node.
    """
    return IPv4Network((int(pod_cidr.network_address) + (index << 8), 24))
