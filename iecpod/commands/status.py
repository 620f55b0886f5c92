"""`iecpod status`: what of a POD is there: machines, cluster, and where they have drifted from its design."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial

from iecpod.deploy.kubectl.kubectl import internal_ip, is_ready
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.changes import Drift
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import HostError, IecpodError
from iecpod.options.site import Site
from iecpod.outside_json import Json
from iecpod.pods.cluster_access import kubectl_of
from iecpod.pods.cluster_status import ClusterStatus, SeenCluster, look_at_cluster
from iecpod.pods.ports import NodeAccess, PodTools
from iecpod.pods.resolve import PodInputs
from iecpod.ports import LockHolder
from iecpod.provider import Provider
from iecpod.release.support import check_support
from iecpod.reports.table import format_table

_UNKNOWN, _NOTHING = "unknown", "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """`domain` is the state of the machine: `running`, `paused`, `off`, `absent`, or `unknown`.

    `ssh` is `ok`, `unknown` or `-`.

    `kubernetes` is `Ready`, `NotReady`, `unknown` or `-`. `unknown` is what a machine that runs does not answer: this
    one to SSH, or that of the API server for `kubernetes` and `internal_ip`. `-` is what there is not.
    `drift` says in words how the machine differs from what it is to be. In JSON, `provider` says who gives the machine,
    and `host` where: a libvirt URI, or null.
    """

    node: str
    domain: str
    address: str
    ssh: str
    kubernetes: str
    internal_ip: str
    drift: tuple[str, ...]
    provider: str
    host: str | None

    def to_row(self) -> tuple[str, ...]:
        drift = "; ".join(self.drift) or "-"
        return self.node, self.domain, self.address, self.ssh, self.kubernetes, self.internal_ip, drift


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionStatus:
    """A value as `plan` shows it, and where it comes from: `given`, `saved`, `lab's default` or `default`."""

    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus:
    """`state` is `absent`, `partial` or `ready`; `unknown` where a run is at work and there is no hypervisor yet.

    `api` is `ok`, `unknown` where the API server's machine runs and it does not answer, `-` where that machine does not
    run; `cluster` is null unless it is `ok`. `busy` is that run. `drift` has every object that differs, machines
    included; of a POD that was not deployed none. `options` are those of the POD by what `plan` calls them, for JSON.
    """

    pod: str
    state: str
    busy: LockHolder | None
    nodes: tuple[NodeStatus, ...] = ()
    cluster: ClusterStatus | None = None
    drift: tuple[Drift, ...] = ()
    api: str = _NOTHING
    options: Mapping[str, OptionStatus] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def to_text(self) -> str:
        lines = [f"POD {self.pod}: {self.state}"]
        lines += [f"busy: {self.busy} is at work on it"] if self.busy else []
        lines += [f"cluster: {self.cluster}"] if self.cluster else []
        lines += ["cluster: unknown, since the API server does not answer"] if self.api == _UNKNOWN else []
        if self.nodes:
            header = ("NODE", "MACHINE", "ADDRESS", "SSH", "KUBERNETES", "INTERNAL-IP", "DRIFT")
            lines.append(format_table(header, [node.to_row() for node in self.nodes]))
        others = [(drift.kind, drift.name, "; ".join(drift.differences)) for drift in self.drift if not drift.node]
        if others:
            lines.append(format_table(("KIND", "NAME", "DRIFT"), others))
        return "\n".join(lines)


def observe_status(inputs: PodInputs, tools: PodTools) -> PodStatus:
    """Looks at machines and cluster, and waits for no other run.

    The embedded hypervisor of a POD is started where it has died, unless a run is at work on the POD.
    """
    busy = tools.state.holder()
    provider = tools.nodes.provider(inputs.order.site)
    if provider.needs_state and not tools.state.pod_dir.exists():
        return PodStatus(pod=str(tools.run.ref), state="absent", busy=busy)
    try:
        provider.open(start=busy is None)
        return _observe(inputs, tools, provider, busy)
    except HostError:
        if busy is None:
            raise
        return PodStatus(pod=str(tools.run.ref), state="unknown", busy=busy)
    finally:
        provider.close()


def _observe(inputs: PodInputs, tools: PodTools, provider: Provider, busy: LockHolder | None) -> PodStatus:
    planned = provider.plan(inputs.order, prove=False, keep_secrets=False)
    for problem in check_support(inputs.order.release, tools.run.clock.today()):
        tools.run.reporter.warn(str(problem))
    states = planned.states()
    running = [hostname for hostname, state in states.items() if state == "running"]
    answering, cluster = _ask(inputs, tools.nodes, provider, planned.pod.cluster, running)
    is_deployed = tools.state.saved().is_noted or planned.is_deployed()
    drift = planned.drift() if is_deployed else ()
    nodes = tuple(_node_statuses(inputs.order.site, planned.pod.cluster, states, answering, cluster, drift))
    return PodStatus(
        pod=str(tools.run.ref),
        state=_state(nodes),
        busy=busy,
        nodes=nodes,
        cluster=cluster.status,
        drift=drift,
        options={
            label: OptionStatus(value=value, source=source.value)
            for label, value, source in inputs.order.options.shown()
        },
        api=_UNKNOWN if cluster.is_silent else "ok" if cluster.status else _NOTHING,
    )


def _ask(
    inputs: PodInputs, nodes: NodeAccess, provider: Provider, cluster: DesiredCluster, running: list[str]
) -> tuple[set[str], SeenCluster]:
    """The nodes that answer to SSH, and what the API server says of the cluster; all are asked at once."""
    answering: set[str] = set()
    seen = SeenCluster()
    if not running:
        return answering, seen
    endpoints = provider.endpoints(inputs.order)
    shells = nodes.shells(endpoints)
    first = nodes.shell(endpoints[cluster.control_plane.hostname])  # one more: a shell serves one thread at a time

    def log_in(hostname: str) -> None:
        with suppress(IecpodError):
            shells[hostname].connect()
            answering.add(hostname)

    def look() -> None:
        nonlocal seen
        kubectl = kubectl_of(nodes, provider.way, cluster, first)(first)
        seen = look_at_cluster(kubectl, cluster, datetime.datetime.now(datetime.timezone.utc))

    questions: dict[str, Callable[[], None]] = {name: partial(log_in, name) for name in running}
    if cluster.control_plane.hostname in running:
        questions["the API server"] = look
    run_on_nodes(tuple(questions), lambda name: questions[name]())
    return answering, seen


def _node_statuses(
    site: Site,
    desired: DesiredCluster,
    states: Mapping[str, str],
    answering: set[str],
    cluster: SeenCluster,
    drift: tuple[Drift, ...],
) -> Iterator[NodeStatus]:
    differences = {found.node: found.differences for found in drift if found.node}
    for node in desired.nodes:
        item, state = cluster.nodes.get(node.hostname), states[node.hostname]
        no_item = _UNKNOWN if cluster.is_silent else _NOTHING
        no_answer = _UNKNOWN if state == "running" else _NOTHING
        yield NodeStatus(
            node=node.hostname,
            domain=state,
            address=str(node.address),
            ssh="ok" if node.hostname in answering else no_answer,
            kubernetes=_kubernetes_state(item) if item else no_item,
            internal_ip=internal_ip(item) if item else no_item,
            drift=differences.get(node.hostname, ()),
            provider=site.provider.value,
            host=str(site.uri) if site.uri else None,
        )


def _state(nodes: tuple[NodeStatus, ...]) -> str:
    if all(node.domain == "absent" for node in nodes):
        return "absent"
    # The API server may believe for minutes in a node whose machine is gone.
    ready = all((node.domain, node.kubernetes) == ("running", "Ready") for node in nodes)
    return "ready" if ready else "partial"


def _kubernetes_state(item: Json) -> str:
    return "Ready" if is_ready(item) else "NotReady"
