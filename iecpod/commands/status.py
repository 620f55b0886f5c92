"""`iecpod status`: what of a POD is there: domains, guests, cluster, and where they have drifted from its design."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from iecpod.commands.cluster_status import ClusterStatus, SeenCluster, look_at_cluster
from iecpod.commands.prepare import Prepared, assumed_virt_type, new_stamp, prepare
from iecpod.commands.resolve import PodInputs
from iecpod.commands.table import format_table
from iecpod.commands.tools import PodTools
from iecpod.design.cluster import DesiredCluster
from iecpod.design.ownership import is_owned
from iecpod.design.release_support import check_support
from iecpod.design.resources import Kind, ObservedResource
from iecpod.errors import HostError, IecpodError, ImageError
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.model import Arch
from iecpod.outside_json import Json
from iecpod.phases.kubectl import Kubectl, internal_ip, is_ready
from iecpod.phases.parallel import run_on_nodes
from iecpod.ports import Hypervisor, HypervisorHost, LockHolder

_ANSWER_SECONDS = 30.0
_TAKEN = "absent: an object that is not ours has its name or UUID"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """`domain` is `running`, `paused`, `off` or `absent`; `ssh` `ok` or `-`; `kubernetes` `Ready`, `NotReady` or `-`.

    `drift` says in words how the domain differs from what it is to be.
    """

    node: str
    domain: str
    address: str
    ssh: str
    kubernetes: str
    internal_ip: str
    drift: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """An object of the hypervisor that differs from the POD's design.

    `kind` is `domain`, `network` or `pool`; `node` is the host name where it is a node's domain, else empty.
    """

    kind: str
    name: str
    node: str
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus:
    """`state` is `absent`, `partial` or `ready`; `unknown` where a run is at work and there is no hypervisor yet.

    `busy` is that run. `drift` has every object that differs, domains included; of a POD that was not deployed none.
    """

    pod: str
    state: str
    busy: LockHolder | None
    nodes: tuple[NodeStatus, ...] = ()
    cluster: ClusterStatus | None = None
    drift: tuple[Drift, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def to_text(self) -> str:
        lines = [f"POD {self.pod}: {self.state}"]
        lines += [f"busy: {self.busy} is at work on it"] if self.busy else []
        lines += [f"cluster: {self.cluster}"] if self.cluster else []
        if self.nodes:
            header = ("NODE", "DOMAIN", "ADDRESS", "SSH", "KUBERNETES", "INTERNAL-IP", "DRIFT")
            rows = [(*list(asdict(node).values())[:-1], "; ".join(node.drift) or "-") for node in self.nodes]
            lines.append(format_table(header, rows))
        others = [(drift.kind, drift.name, "; ".join(drift.differences)) for drift in self.drift if not drift.node]
        if others:
            lines.append(format_table(("KIND", "NAME", "DRIFT"), others))
        return "\n".join(lines)


def observe_status(inputs: PodInputs, tools: PodTools) -> PodStatus:
    """Looks at hypervisor, guests and cluster, and waits for no other run.

    The embedded hypervisor of a POD is started where it has died, unless a run is at work on the POD.
    """
    busy = tools.holder()
    if inputs.uri == EMBEDDED and not tools.pod_dir.exists():
        return PodStatus(pod=str(tools.ref), state="absent", busy=busy)
    host = tools.host(inputs.uri)
    if busy is None:
        host.start()
    try:
        hypervisor = host.connect()
        try:
            return _observe(inputs, tools, host, hypervisor, busy)
        finally:
            hypervisor.close()
    except HostError:
        if busy is None:
            raise
        return PodStatus(pod=str(tools.ref), state="unknown", busy=busy)


def _observe(
    inputs: PodInputs, tools: PodTools, host: HypervisorHost, hypervisor: Hypervisor, busy: LockHolder | None
) -> PodStatus:
    prepared = prepare(
        inputs,
        tools,
        hypervisor,
        lambda arch: _image_key(inputs, tools, arch),
        virt_type=assumed_virt_type(inputs, hypervisor.describe()),
        stamp=new_stamp(tools),
        keep_secrets=False,
    )
    for problem in check_support(inputs.release, tools.clock.today()):
        tools.reporter.warn(str(problem))
    ours = [seen for seen in prepared.observed if is_owned(seen, prepared.owner)]
    domains = {seen.name: seen for seen in ours if seen.kind is Kind.DOMAIN}
    running = [d.hostname for d in prepared.pod.domains if _domain_state(domains.get(d.name)) == "running"]
    answering, cluster = _ask(prepared.pod.cluster, tools, host, running)
    is_deployed = tools.recall().uri is not None or bool(ours)
    drift = tuple(_drifts(prepared)) if is_deployed else ()
    nodes = tuple(_node_statuses(prepared, domains, answering, cluster, drift))
    return PodStatus(
        pod=str(tools.ref), state=_state(nodes), busy=busy, nodes=nodes, cluster=cluster.status, drift=drift
    )


def _image_key(inputs: PodInputs, tools: PodTools, arch: Arch) -> str:
    """A look needs no image: one that cannot be had is another than that of the deploy."""
    try:
        return tools.images(inputs.release, inputs.bundle_via).key(arch)
    except ImageError as error:
        tools.reporter.warn(error.cause)
        return ""


def _ask(
    cluster: DesiredCluster, tools: PodTools, host: HypervisorHost, running: list[str]
) -> tuple[set[str], SeenCluster]:
    """The nodes that answer to SSH, and what the API server says of the cluster; all are asked at once."""
    if not running:
        return set(), SeenCluster()
    shells = tools.shells(host, cluster)
    first, now = cluster.control_plane.hostname, datetime.datetime.now(datetime.timezone.utc)

    def answers(hostname: str) -> bool:
        try:
            shells[hostname].run(["true"], timeout_seconds=_ANSWER_SECONDS)
        except IecpodError:
            return False
        return True

    kubectl = Kubectl(shells[first], tools.host_kubectl(host, cluster.release))

    def ask(hostname: str) -> tuple[bool, SeenCluster]:
        seen = look_at_cluster(kubectl, cluster, now) if hostname == first else SeenCluster()
        return answers(hostname), seen

    seen = run_on_nodes(running, ask)
    return {hostname for hostname, (ssh, _) in seen.items() if ssh}, seen[first][1] if first in seen else SeenCluster()


def _drifts(prepared: Prepared) -> Iterator[Drift]:
    """In the order in which objects are made; those that are no longer wanted come last."""
    hostnames = {domain.name: domain.hostname for domain in prepared.pod.domains}
    planned = {(change.kind, change.name): change.drift for change in prepared.plan.changes}
    taken = {(wanted.kind, wanted.name): (_TAKEN,) for wanted in prepared.rendered.resources}
    for (kind, name), differences in {**taken, **planned}.items():
        if differences:
            node = hostnames.get(name, "") if kind is Kind.DOMAIN else ""
            yield Drift(kind=kind.value, name=name, node=node, differences=differences)


def _node_statuses(
    prepared: Prepared,
    domains: Mapping[str, ObservedResource],
    answering: set[str],
    cluster: SeenCluster,
    drift: tuple[Drift, ...],
) -> Iterator[NodeStatus]:
    differences = {found.node: found.differences for found in drift if found.node}
    for domain, node in zip(prepared.pod.domains, prepared.pod.cluster.nodes, strict=True):
        item = cluster.nodes.get(domain.hostname)
        yield NodeStatus(
            node=domain.hostname,
            domain=_domain_state(domains.get(domain.name)),
            address=str(node.address),
            ssh="ok" if domain.hostname in answering else "-",
            kubernetes=_kubernetes_state(item),
            internal_ip=internal_ip(item) if item else "-",
            drift=differences.get(domain.hostname, ()),
        )


def _state(nodes: tuple[NodeStatus, ...]) -> str:
    if all(node.domain == "absent" for node in nodes):
        return "absent"
    # The API server may believe for minutes in a node whose domain is gone.
    ready = all((node.domain, node.kubernetes) == ("running", "Ready") for node in nodes)
    return "ready" if ready else "partial"


def _domain_state(domain: ObservedResource | None) -> str:
    if domain is None:
        return "absent"
    if domain.paused:
        return "paused"
    return "running" if domain.active else "off"


def _kubernetes_state(item: Json | None) -> str:
    if item is None:
        return "-"
    return "Ready" if is_ready(item) else "NotReady"
