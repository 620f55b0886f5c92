"""`iecpod plan`: what deploy would do, as tables; it changes nothing that outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from iecpod.commands.deploy import withdraw
from iecpod.design.cluster import DesiredCluster
from iecpod.design.software.image_origin import NeededImage
from iecpod.errors import ImageError, PreflightError, Problem
from iecpod.pods.manifest_check import KnownManifests, look_at_manifests
from iecpod.pods.ports import PodTools
from iecpod.pods.refusal import check_plan
from iecpod.pods.resolve import PodInputs
from iecpod.provider import CheckpointInputs, Checkpoints, MachinePlan, Provider
from iecpod.release.mirrors import Supply
from iecpod.reports.table import format_table

_GIB = 1024**3
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class PlanResult:
    """`problems` are the reasons why a deploy would refuse; `inputs` are None where machines cannot be saved."""

    planned: MachinePlan
    problems: tuple[Problem, ...]
    manifests: KnownManifests = field(default_factory=KnownManifests)
    inputs: CheckpointInputs | None = None


def make_pod_plan(inputs: PodInputs, tools: PodTools) -> PlanResult:
    """Looks at the provider, and starts what is iecpod's own of it for as long as that takes."""
    is_new = not tools.state.pod_dir.exists()
    provider = tools.nodes.provider(inputs.order.site)
    try:
        provider.open(start=True)
        return plan_on(inputs, tools, provider)
    finally:
        provider.close()
        if is_new:
            withdraw(tools.state, provider)


def plan_on(inputs: PodInputs, tools: PodTools, provider: Provider) -> PlanResult:
    """The plan by a provider that is open already."""
    planned = provider.plan(inputs.order, prove=True, keep_secrets=False)
    manifests = look_at_manifests(planned, inputs, tools.software)
    decides = provider.checkpoint_inputs(planned) if isinstance(provider, Checkpoints) else None
    try:
        check_plan(planned, inputs, tools.run, manifests.images)
        return PlanResult(planned, manifests.problems, manifests, decides)
    except PreflightError as error:
        return PlanResult(planned, (*error.problems, *manifests.problems), manifests, decides)


def plan_text(inputs: PodInputs, result: PlanResult, checkpoint: str = "") -> str:
    """Changes, nodes, addresses, networks and cluster, each a table. `checkpoint` says whether one fits."""
    planned = result.planned
    sections = [
        ("Changes", _changes(result)),
        ("Nodes", _nodes(result)),
        *((table.title, format_table(table.header, table.rows)) for table in planned.tables),
        ("Cluster", _cluster(inputs, result, checkpoint)),
        ("Options", _options(inputs)),
        *([("Images", _images(result.manifests.images))] if result.manifests.images else []),
        *([("Manifest", changes)] if (changes := _manifest_changes(result.manifests)) else []),
    ]
    body = "\n\n".join(f"{title}\n{table}" for title, table in sections)
    return inputs.loaded.secrets.hide(
        f"POD {inputs.order.spec.ref} on {inputs.order.site}, addresses: {inputs.order.allocation.scheme}\n\n{body}"
    )


def _images(images: tuple[NeededImage, ...]) -> str:
    rows = [(image.wanted_by, image.reference, image.origin) for image in images]
    return format_table(("OF", "IMAGE", "FROM"), rows)


def _manifest_changes(manifests: KnownManifests) -> str:
    if isinstance(manifests.error, ImageError):
        return f"not known yet: {manifests.error.cause}"
    return "\n".join(manifests.changes)


def _changes(result: PlanResult) -> str:
    rows = [
        (change.action.value.strip() or "=", change.kind, change.name, change.reason)
        for change in result.planned.plan.changes
    ]
    return format_table(("", "KIND", "NAME", "REASON"), rows)


def _nodes(result: PlanResult) -> str:
    pod = result.planned.pod
    rows = [
        (
            machine.hostname,
            node.name,
            cluster_node.role.value,
            machine.arch.value,
            _sized(str(machine.vcpus), str(node.cpus * node.cores)),
            _sized(f"{machine.memory_mib} MiB", f"{node.memory_bytes // _MIB} MiB"),
            f"{machine.disk_bytes / _GIB:g} GiB",
            machine.description,
        )
        for machine, node, cluster_node in zip(
            result.planned.machines, pod.spec.pdf.nodes, pod.cluster.nodes, strict=True
        )
    ]
    return format_table(("NODE", "PDF", "ROLE", "ARCH", "VCPUS", "MEMORY", "DISK", "MACHINE"), rows)


def _sized(size: str, in_pdf: str) -> str:
    return size if size == in_pdf else f"{size} (PDF: {in_pdf})"


def _cluster(inputs: PodInputs, result: PlanResult, checkpoint: str) -> str:
    pod = result.planned.pod
    cluster, release = pod.cluster, pod.cluster.release
    rows = [
        ("scenario", f"{inputs.order.scenario.name}: {inputs.order.scenario.description}"),
        ("release", f"{release.name}: {release.description}"),
        *([("bundle", f"sha256:{release.provided.digest}")] if release.provided else []),
        *(("images", f"sha256:{archive.digest}") for archive in release.image_archives),
        ("Kubernetes", f"{release.kubernetes_version}, {release.runtime}, API server at {cluster.api_endpoint}"),
        ("CNI", _cni(cluster)),
        ("pod CIDR", f"{cluster.pod_cidr}: " + ", ".join(f"{n.hostname} {n.pod_cidr}" for n in cluster.nodes)),
        ("service CIDR", str(cluster.service_cidr)),
        *([("docker bridge", str(pod.docker_bridge.network))] if pod.docker_bridge else []),
        ("timings", "low-overhead mode, for emulated guests" if cluster.low_overhead else "Kubernetes' own"),
        *result.planned.settings,
        *([("checkpoint", checkpoint)] if checkpoint else []),
        *_supply_rows(pod.supply),
    ]
    return format_table(("", ""), rows).lstrip("\n")


def _cni(cluster: DesiredCluster) -> str:
    encapsulation = cluster.cni.encapsulation(cluster.release)
    return cluster.cni.name + (f", encapsulation {encapsulation.value}" if encapsulation else "")


def _options(inputs: PodInputs) -> str:
    """What was chosen, and who says so."""
    rows = [(label, f"{value} ({source.value})") for label, value, source in inputs.order.options.shown()]
    return format_table(("", ""), rows).lstrip("\n")


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
