"""`iecpod plan`: what deploy would do, as tables; it changes nothing that outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iecpod.commands.prepare import Prepared, check_prepared, new_stamp, prepare, proven_virt_type, withdraw
from iecpod.commands.resolve import PodInputs
from iecpod.commands.table import format_table
from iecpod.commands.tools import PodTools
from iecpod.design.cluster import DesiredCluster
from iecpod.design.delivery import BundleVia
from iecpod.design.resources import DesiredDomain
from iecpod.design.scenario import Cni
from iecpod.design.supply import Supply
from iecpod.errors import DescriptorError, ImageError, PreflightError, Problem
from iecpod.ports import Hypervisor, HypervisorHost

_GIB = 1024**3
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class PlanResult:
    """`problems` are the reasons why a deploy would refuse; `manifest_changes` what is set in the CNI's manifest."""

    prepared: Prepared
    problems: tuple[Problem, ...]
    manifest_changes: tuple[str, ...] = ()


def make_pod_plan(inputs: PodInputs, tools: PodTools) -> PlanResult:
    """Looks at the hypervisor, and starts the embedded one for as long as that takes."""
    with tools.lock():
        is_new = not tools.pod_dir.exists()
        host = tools.host(inputs.uri)
        try:
            host.start()
            hypervisor = host.connect()
            try:
                return plan_on(inputs, tools, host, hypervisor)
            finally:
                hypervisor.close()
        finally:
            if is_new:
                withdraw(tools, host)


def plan_on(inputs: PodInputs, tools: PodTools, host: HypervisorHost, hypervisor: Hypervisor) -> PlanResult:
    """The plan by a hypervisor that is connected already."""
    images = tools.images(inputs.release, inputs.bundle_via)
    prepared = prepare(
        inputs,
        tools,
        hypervisor,
        images.key,
        virt_type=proven_virt_type(inputs, hypervisor.describe(), tools, images),
        stamp=new_stamp(tools),
        keep_secrets=False,
    )
    try:
        check_prepared(prepared, inputs, tools, host)
        return PlanResult(prepared, (), _manifest_changes(prepared, tools))
    except (PreflightError, DescriptorError) as error:
        return PlanResult(prepared, error.problems)


def _manifest_changes(prepared: Prepared, tools: PodTools) -> tuple[str, ...]:
    """A plan can be read without a network, too."""
    cluster = prepared.pod.cluster
    if cluster.cni is Cni.BRIDGE:
        return ()
    try:
        return tools.cni_manifest(cluster).changes
    except ImageError as error:
        return (f"not known yet: {error.cause}",)


def plan_text(inputs: PodInputs, result: PlanResult) -> str:
    """Changes, nodes, addresses, networks and cluster, each a table."""
    pod = result.prepared.pod
    sections = [
        ("Changes", _changes(result)),
        ("Nodes", _nodes(result)),
        ("Interfaces", _interfaces(result)),
        ("Networks", _networks(result)),
        ("Cluster", _cluster(inputs, result)),
        *([("Manifest", "\n".join(result.manifest_changes))] if result.manifest_changes else []),
    ]
    body = "\n\n".join(f"{title}\n{table}" for title, table in sections)
    return inputs.loaded.secrets.hide(
        f"POD {pod.spec.ref} on {inputs.uri}, addresses: {inputs.allocation.scheme}\n\n{body}"
    )


def _changes(result: PlanResult) -> str:
    rows = [
        (change.action.value.strip() or "=", change.kind.value, change.name, change.reason)
        for change in result.prepared.plan.changes
    ]
    return format_table(("", "KIND", "NAME", "REASON"), rows)


def _nodes(result: PlanResult) -> str:
    pod = result.prepared.pod
    rows = [
        (
            domain.hostname,
            node.name,
            cluster_node.role.value,
            domain.arch.value,
            _sized(str(domain.vcpus), str(node.cpus * node.cores)),
            _sized(f"{domain.memory_mib} MiB", f"{node.memory_bytes // _MIB} MiB"),
            f"{domain.root_bytes / _GIB:g} GiB",
            f"{domain.machine}, {domain.virt_type.value}, UEFI",
        )
        for domain, node, cluster_node in zip(pod.domains, pod.spec.pdf.nodes, pod.cluster.nodes, strict=True)
    ]
    return format_table(("NODE", "PDF", "ROLE", "ARCH", "VCPUS", "MEMORY", "DISK", "MACHINE"), rows)


def _sized(size: str, in_pdf: str) -> str:
    return size if size == in_pdf else f"{size} (PDF: {in_pdf})"


def _interfaces(result: PlanResult) -> str:
    return format_table(
        ("NODE", "DEVICE", "NETWORK", "ADDRESS", "MAC", "MTU", "ATTACHED TO"), list(_interface_rows(result))
    )


def _interface_rows(result: PlanResult) -> Iterator[tuple[str, ...]]:
    for domain in result.prepared.pod.domains:
        for vnic in domain.vnics:
            device = vnic.guest_device + (f".{vnic.vlan}" if vnic.vlan else "")
            attached = f"network {vnic.libvirt_network}" if vnic.libvirt_network else f"bridge {vnic.host_bridge}"
            address = str(vnic.address) if vnic.address else "-"
            yield domain.hostname, device, vnic.network.value, address, vnic.mac, str(vnic.mtu), attached


def _networks(result: PlanResult) -> str:
    rows = [
        (
            network.name,
            network.bridge,
            network.mode.value,
            str(network.cidr),
            str(network.host_address or "-"),
            f"{network.dhcp_range[0]} - {network.dhcp_range[1]}" if network.dhcp_range else "-",
            str(network.mtu),
        )
        for network in result.prepared.pod.networks
    ]
    return format_table(("NETWORK", "BRIDGE", "MODE", "CIDR", "HOST", "DHCP", "MTU"), rows)


def _cluster(inputs: PodInputs, result: PlanResult) -> str:
    pod = result.prepared.pod
    cluster, release = pod.cluster, pod.cluster.release
    rows = [
        ("scenario", f"{inputs.scenario.name}: {inputs.scenario.description}"),
        ("release", f"{release.name}: {release.description}"),
        *([("bundle", f"sha256:{release.provided.digest}")] if release.provided else []),
        ("Kubernetes", f"{release.kubernetes_version}, {release.runtime}, API server at {cluster.api_endpoint}"),
        ("CNI", _cni(cluster)),
        ("pod CIDR", f"{cluster.pod_cidr}: " + ", ".join(f"{n.hostname} {n.pod_cidr}" for n in cluster.nodes)),
        ("service CIDR", str(cluster.service_cidr)),
        *([("bundle", _bundle(inputs.bundle_via, pod.domains[0]))] if inputs.bundle_via else []),
        ("timings", "calm, for emulated guests" if cluster.calm else "Kubernetes' own"),
        ("disks", _disks(pod.domains[0])),
        *([("QEMU", f"runs as {result.prepared.facts.qemu_user}")] if result.prepared.facts.qemu_user else []),
        *_supply_rows(pod.supply),
    ]
    return format_table(("", ""), rows).lstrip("\n")


def _cni(cluster: DesiredCluster) -> str:
    calico = cluster.release.calico
    if not cluster.cni.is_calico or calico is None:
        return cluster.cni.value
    return f"{cluster.cni.value}, encapsulation {calico.encapsulation.value}"


def _disks(domain: DesiredDomain) -> str:
    if domain.disposable:
        return "disposable: writes are not flushed, and a crash of the host may cost the POD (cache=unsafe)"
    return "flushed as guests ask for it (cache=writeback)"


def _bundle(via: BundleVia, domain: DesiredDomain) -> str:
    if domain.bundle_disk is not None:
        return f"on a disk that new nodes share and only read, {domain.bundle_disk.path}"
    return "in the image" if via is BundleVia.IMAGE else "sent to each node over SSH"


def _supply_rows(supply: Supply) -> Iterator[tuple[str, str]]:
    """What stands between the nodes and the public sources, as far as something does."""
    if supply.has_proxy:
        yield "proxy", f"{supply.http_proxy} for http, {supply.https_proxy} for https"
        yield "without proxy", ", ".join(supply.no_proxy)
    for registry, url in supply.registry_mirrors.items():
        yield f"images of {registry}", url
    yield from (*supply.repositories.items(), *supply.manifests.items())
    if supply.ca_certificates:
        yield "certificates", f"{len(supply.ca_certificates)} added to what the nodes trust"
