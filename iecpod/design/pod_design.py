"""`PodOrder` → `PodDesign`: what a POD is to be, whoever provides its machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from iecpod.descriptors.addresses.addressing import Allocation
from iecpod.descriptors.addresses.cidrs import TakenNetwork, idf_networks
from iecpod.design.cluster import ClusterNode, Cni, DesiredCluster, node_pod_cidr
from iecpod.design.direct_access import complete_supply
from iecpod.design.docker_bridge import plan_docker_bridge
from iecpod.design.machines import network_device
from iecpod.design.outside_addresses import reached_networks
from iecpod.model import NetworkName, PodSpec
from iecpod.naming import nic_name
from iecpod.options.option_table import PodOptions
from iecpod.options.site import Site
from iecpod.release.mirrors import Supply
from iecpod.release.release import Release
from iecpod.release.scenario import Role, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOrder:
    """All that people decide about a POD, valid in itself; what its provider finds comes on top.

    `options` are those that were chosen, with CIDRs and a way to get machines.
    """

    spec: PodSpec
    allocation: Allocation
    scenario: Scenario
    cni: Cni
    release: Release
    options: PodOptions

    @property
    def site(self) -> Site:
        site = self.options.site
        assert site is not None
        return site

    @property
    def supply(self) -> Supply:
        return self.options.supply or Supply()

    @property
    def pod_cidr(self) -> IPv4Network:
        return IPv4Network(self.options.pod_cidr or "")

    @property
    def service_cidr(self) -> IPv4Network:
        return IPv4Network(self.options.service_cidr or "")

    @property
    def named_by_pdf(self) -> bool:
        """Whether nodes have the names of the PDF, and not those of the scenario."""
        return not self.site.makes_machines

    @property
    def hostnames(self) -> tuple[str, ...]:
        """In the order of the PDF's nodes."""
        if self.named_by_pdf:
            return tuple(node.name for node in self.spec.pdf.nodes)
        return tuple(self.scenario.hostname(self.spec.pdf.place(index)) for index in range(len(self.spec.pdf.nodes)))

    @property
    def addresses(self) -> dict[str, IPv4Address]:
        """On mgmt, by host name."""
        return {
            hostname: self.allocation.node_addresses[index, NetworkName.MGMT]
            for index, hostname in enumerate(self.hostnames)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDesign:
    """`supply` is complete: what was given, what the IDF says, and what the POD reaches directly.

    `docker_bridge` is docker0's address on every node, None where the runtime is not docker.
    """

    spec: PodSpec
    scenario: Scenario
    cluster: DesiredCluster
    supply: Supply
    docker_bridge: IPv4Interface | None

    @property
    def hosts(self) -> tuple[tuple[IPv4Address, tuple[str, ...]], ...]:
        """Every node on its mgmt address, as FQDN and as short name."""
        return tuple(
            (node.address, (f"{node.hostname}.{self.scenario.dns_domain}", node.hostname))
            for node in self.cluster.nodes
        )

    @property
    def host_lines(self) -> tuple[str, ...]:
        """`hosts` as lines of /etc/hosts."""
        return tuple(f"{address} {' '.join(names)}" for address, names in self.hosts)


def design_pod(order: PodOrder, *, low_overhead: bool) -> PodDesign:
    """`low_overhead` is for nodes that are emulated: Kubernetes does less in the background."""
    spec = order.spec
    mgmt = spec.idf.network(NetworkName.MGMT)
    assert mgmt is not None and mgmt.cidr is not None  # a cross-check rule demands it
    nodes = tuple(_cluster_nodes(order))
    cluster = DesiredCluster(
        name=str(spec.ref).replace("/", "-"),
        arch=spec.pdf.nodes[0].arch,
        release=order.release,
        cni=order.cni,
        nodes=nodes,
        mgmt_cidr=mgmt.cidr,
        mgmt_mtu=spec.idf.interface_mtu,
        pod_cidr=order.pod_cidr,
        service_cidr=order.service_cidr,
        low_overhead=low_overhead,
        endpoint=next(node.address for node in nodes if node.role is Role.CONTROL_PLANE),
    )
    supply = complete_supply(order.supply, spec, cluster, order.scenario.dns_domain)
    bridge = _docker_bridge(spec, cluster, supply)
    return PodDesign(spec=spec, scenario=order.scenario, cluster=cluster, supply=supply, docker_bridge=bridge)


def _docker_bridge(spec: PodSpec, cluster: DesiredCluster, supply: Supply) -> IPv4Interface | None:
    if cluster.release.runtime != "docker":
        return None
    ours = TakenNetwork(cluster.pod_cidr, "pods"), TakenNetwork(cluster.service_cidr, "services")
    return plan_docker_bridge((*ours, *idf_networks(spec), *reached_networks(spec, supply, cluster.release)))


def design_alone(order: PodOrder, pod: PodDesign, hostname: str) -> PodDesign:
    """The POD as if the node were its only one: what is made of it stays the same whoever joins or leaves."""
    nodes = tuple(node for node in pod.cluster.nodes if node.hostname == hostname)
    cluster = replace(pod.cluster, nodes=nodes)
    return replace(
        pod, cluster=cluster, supply=complete_supply(order.supply, order.spec, cluster, order.scenario.dns_domain)
    )


def _cluster_nodes(order: PodOrder) -> Iterator[ClusterNode]:
    mgmt = order.spec.idf.network(NetworkName.MGMT)
    assert mgmt is not None
    for index, (hostname, address) in enumerate(order.addresses.items()):
        place = order.spec.pdf.place(index)
        device = guest_device(order.spec, index, mgmt.interface)
        yield ClusterNode(
            hostname=hostname,
            role=order.scenario.role(place),
            address=address,
            mgmt_device=network_device(device, mgmt.vlan),
            pod_cidr=node_pod_cidr(order.pod_cidr, place),
        )


def guest_device(spec: PodSpec, index: int, interface: int) -> str:
    """What a node calls one of its NICs: by the IDF, else by the PCI bus that iecpod puts it on."""
    devices = spec.idf.node_devices
    return nic_name(devices[index].interfaces if index < len(devices) else (), interface)
