"""Who gives each node of a POD its machine, and on which host: by the PDF's `node.type` and `remote_management`."""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.model import Node, NodeType, PodSpec
from iecpod.options.choices import ProviderName
from iecpod.options.site import Site

#: Which provider makes machines of a kind. Existing ones (`existing`) may be of any.
_MAKERS = {NodeType.VIRTUAL: ProviderName.LIBVIRT}


@dataclass(frozen=True, slots=True)
class MachineGroup:
    """Nodes of one provider on one host, as indexes in the PDF."""

    site: Site
    nodes: tuple[int, ...]


def has_maker(node: Node, chosen: Site | None) -> bool:
    return (chosen is not None and not chosen.makes_machines) or node.type in _MAKERS


def site_of(node: Node, chosen: Site | None) -> Site | None:
    """`chosen` is where all of a POD is, whatever the PDF names. None where the PDF names nothing that can be used."""
    if not has_maker(node, chosen):
        return None
    if chosen is not None:
        return chosen
    uri = node.remote_management.hypervisor if node.remote_management else None
    return Site(_MAKERS[node.type], uri) if uri is not None else None


def group_nodes(spec: PodSpec, chosen: Site | None) -> tuple[MachineGroup, ...]:
    """In the order of their first nodes; nodes that have no site are left out."""
    groups: dict[Site, list[int]] = {}
    for index, node in enumerate(spec.pdf.nodes):
        site = site_of(node, chosen)
        if site is not None:
            groups.setdefault(site, []).append(index)
    return tuple(MachineGroup(site, tuple(nodes)) for site, nodes in groups.items())
