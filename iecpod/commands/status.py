"""`iecpod status`: what of a POD is there: domains, guests and cluster nodes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from iecpod.commands.prepare import assumed_virt_type, new_stamp, prepare
from iecpod.commands.request import EMBEDDED
from iecpod.commands.resolve import PodInputs
from iecpod.commands.table import format_table
from iecpod.commands.tools import PodTools
from iecpod.design.desired import DesiredPod
from iecpod.design.resources import Kind, ObservedResource
from iecpod.errors import IecpodError
from iecpod.phases.kubectl import NODES, Kubectl, internal_ip, is_ready
from iecpod.phases.parallel import run_on_nodes
from iecpod.ports import Shell


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """`domain` is `running`, `off` or `absent`; `ssh` `ok` or `-`; `kubernetes` `Ready`, `NotReady` or `-`."""

    node: str
    domain: str
    address: str
    ssh: str
    kubernetes: str
    internal_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStatus:
    """`state` is `absent`, `partial` or `ready`."""

    pod: str
    state: str
    nodes: tuple[NodeStatus, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def to_text(self) -> str:
        rows = [tuple(asdict(node).values()) for node in self.nodes]
        table = format_table(("NODE", "DOMAIN", "ADDRESS", "SSH", "KUBERNETES", "INTERNAL-IP"), rows)
        return f"POD {self.pod}: {self.state}\n{table}"


def observe_status(inputs: PodInputs, tools: PodTools) -> PodStatus:
    """Looks at hypervisor, guests and cluster. The embedded hypervisor of a POD is started where it has died."""
    if inputs.uri == EMBEDDED and not tools.pod_dir.exists():
        return PodStatus(pod=str(tools.ref), state="absent", nodes=())
    host = tools.host(inputs.uri)
    host.start()
    hypervisor = host.connect()
    try:
        prepared = prepare(
            inputs,
            tools,
            hypervisor,
            tools.images(inputs.release, baked=inputs.baked),
            virt_type=assumed_virt_type(inputs, hypervisor.describe()),
            stamp=new_stamp(tools),
            keep_secrets=False,
        )
        shells = tools.shells(host, prepared.pod.cluster)
        nodes = _node_statuses(prepared.pod, prepared.observed, shells)
    finally:
        hypervisor.close()
    return PodStatus(pod=str(tools.ref), state=_state(nodes), nodes=nodes)


def _state(nodes: tuple[NodeStatus, ...]) -> str:
    if all(node.domain == "absent" for node in nodes):
        return "absent"
    return "ready" if all(node.kubernetes == "Ready" for node in nodes) else "partial"


def _node_statuses(
    pod: DesiredPod, observed: tuple[ObservedResource, ...], shells: Mapping[str, Shell]
) -> tuple[NodeStatus, ...]:
    domains = {seen.name: seen for seen in observed if seen.kind is Kind.DOMAIN and seen.mark}
    running = [domain.hostname for domain in pod.domains if domain.name in domains and domains[domain.name].active]
    answers = run_on_nodes(running, lambda hostname: _answers(shells[hostname]))
    first = pod.cluster.control_plane.hostname
    listing = Kubectl(shells[first]).find(NODES) if answers.get(first) else None
    items = {item["metadata"]["name"]: item for item in (listing or {"items": []})["items"]}
    return tuple(
        NodeStatus(
            node=domain.hostname,
            domain=_domain_state(domains.get(domain.name)),
            address=str(node.address),
            ssh="ok" if answers.get(domain.hostname) else "-",
            kubernetes=_kubernetes_state(items.get(domain.hostname)),
            internal_ip=internal_ip(items[domain.hostname]) if domain.hostname in items else "-",
        )
        for domain, node in zip(pod.domains, pod.cluster.nodes, strict=True)
    )


def _answers(shell: Shell) -> bool:
    try:
        shell.run(["true"], timeout_seconds=30)
    except IecpodError:
        return False
    return True


def _domain_state(domain: ObservedResource | None) -> str:
    if domain is None:
        return "absent"
    return "running" if domain.active else "off"


def _kubernetes_state(item: dict[str, Any] | None) -> str:
    if item is None:
        return "-"
    return "Ready" if is_ready(item) else "NotReady"
