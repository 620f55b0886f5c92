"""`iecpod labs`: the PODs below a base, as far as their descriptors can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from iecpod.commands.validate import load_tree
from iecpod.descriptors.load_pod import check_read_pod
from iecpod.descriptors.pod_files import ReadPod
from iecpod.errors import IecpodError, count_errors
from iecpod.layout import Layout
from iecpod.pods.directory import check_pod_dir, load_saved, pod_dir_of
from iecpod.pods.request import lab_defaults
from iecpod.reports.table import format_table


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPod:
    """`archs` and `types` are those of its nodes, each once, as written; `hypervisor` is empty where none is named.

    `deployed` says that a deploy from here has started and that no teardown has ended it. `fault`, where there is one,
    is why nothing more is known of that.
    """

    lab: str
    pod: str
    nodes: int
    archs: tuple[str, ...]
    types: tuple[str, ...]
    errors: int
    warnings: int
    deployed: bool
    hypervisor: str
    fault: str


@dataclass(frozen=True, slots=True)
class Labs:
    pods: tuple[ListedPod, ...]

    def to_json(self) -> str:
        return json.dumps([asdict(pod) for pod in self.pods], indent=2) + "\n"

    def to_text(self) -> str:
        rows = [
            (
                f"{pod.lab}/{pod.pod}",
                str(pod.nodes),
                ",".join(pod.archs) or "-",
                ",".join(pod.types) or "-",
                f"no: {pod.errors} error{'' if pod.errors == 1 else 's'}" if pod.errors else "yes",
                "unknown" if pod.fault else "yes" if pod.deployed else "no",
                pod.hypervisor or "-",
            )
            for pod in self.pods
        ]
        table = format_table(("POD", "NODES", "ARCH", "TYPE", "VALID", "DEPLOYED", "HYPERVISOR"), rows)
        return "\n".join([table, *(f"{pod.lab}/{pod.pod}: {pod.fault}" for pod in self.pods if pod.fault)])


def list_labs(base_uri: str, layout: Layout) -> Labs:
    """Raises `UsageError` for a base that cannot be listed or holds no descriptors."""
    return Labs(tuple(_listed(read, layout) for read in load_tree(base_uri)))


def _listed(read: ReadPod, layout: Layout) -> ListedPod:
    problems = check_read_pod(read, layout.schemas_dir).problems
    errors = count_errors(problems)
    nodes = list(_nodes(read))
    known, fault = _noted(read, layout)
    lab, _, pod = read.name.partition("/")
    described = _texts(nodes, "remote_management", "address")
    return ListedPod(
        lab=lab,
        pod=pod,
        nodes=len(nodes),
        archs=_texts(nodes, "node", "arch"),
        types=_texts(nodes, "node", "type"),
        errors=errors,
        warnings=len(problems) - errors,
        deployed=known is not None or bool(fault),
        hypervisor=known or lab_defaults(lab).options.uri or ", ".join(described),
        fault=fault,
    )


def _noted(read: ReadPod, layout: Layout) -> tuple[str | None, str]:
    """The hypervisor that the POD was deployed on, and what is wrong with the note of it."""
    if read.ref is None:
        return None, ""
    try:
        check_pod_dir(layout, read.ref)
        return load_saved(pod_dir_of(layout, read.ref)).options.uri, ""
    except IecpodError as error:
        return None, error.cause


def _nodes(read: ReadPod) -> Iterator[object]:
    """Of descriptors that may be anything."""
    data = read.descriptors.pdf.data
    nodes = data.get("nodes") if isinstance(data, dict) else None
    yield from nodes if isinstance(nodes, list) else ()


def _texts(nodes: list[object], section: str, key: str) -> tuple[str, ...]:
    """The different texts at `section.key` of the nodes; encrypted ones are left out."""
    found = []
    for node in nodes:
        inner = node.get(section) if isinstance(node, dict) else None
        value = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(value, str) and not value.startswith("ENC["):
            found.append(value)
    return tuple(sorted(set(found)))
