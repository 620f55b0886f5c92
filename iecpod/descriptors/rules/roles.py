"""Rules about roles that other installers read: `nodes_roles` and `hostnames` of osa, kubespray and xci."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iecpod.descriptors.rules.documents import Path, PodView
from iecpod.descriptors.rules.rule import Finding, warning

#: The jump host's name in these sections, whatever the PDF calls it.
_JUMPHOST_NAMES = ("opnfv", "opnfv_host")


def _sections(pod: PodView) -> Iterator[tuple[Path, dict[str, Any]]]:
    data: Any = pod.idf.data if isinstance(pod.idf.data, dict) else {}
    idf = data.get("idf")
    for name in ("osa", "kubespray"):
        section = idf.get(name) if isinstance(idf, dict) else None
        if isinstance(section, dict):
            yield ("idf", name), section
    if isinstance(data.get("xci"), dict):
        yield ("xci",), data["xci"]


def _names(section: dict[str, Any], key: str) -> list[str]:
    value = section.get(key)
    return list(value) if isinstance(value, dict) else []


@warning("role-of-unknown-node", reason="no node has the role", source="ericsson/pod2 has the typo opnvf")
def role_of_unknown_node(pod: PodView) -> Iterator[Finding]:
    known = {node.name for node in pod.nodes} | set(_JUMPHOST_NAMES)
    if pod.jumphost is not None:
        known.add(pod.jumphost.name)
    if None in known:
        return  # it may be the name that cannot be read
    for path, section in _sections(pod):
        for name in _names(section, "nodes_roles"):
            if name not in known:
                yield Finding(
                    pod.idf,
                    (*path, "nodes_roles", name),
                    f"the PDF has no node {name[:60]!r}",
                    "write the name that the node has in the PDF",
                )


@warning("node-without-role", reason="the installer passes the node over", source="lf/pod4 names nodes otherwise")
def node_without_role(pod: PodView) -> Iterator[Finding]:
    for path, section in _sections(pod):
        named = set(_names(section, "nodes_roles"))
        missing = [node.name for node in pod.nodes if node.name is not None and node.name not in named] if named else []
        if missing:
            yield Finding(
                pod.idf,
                (*path, "nodes_roles"),
                f"{len(missing)} of {len(pod.nodes)} nodes have no role, the first is {missing[0]!r}",
                "add a role for every node, by its name in the PDF",
            )


@warning("roles-and-hostnames-differ", reason="both are read by node name", source="ericsson/pod2 has the typo opnvf")
def roles_and_hostnames_differ(pod: PodView) -> Iterator[Finding]:
    for path, section in _sections(pod):
        roles, hostnames = _names(section, "nodes_roles"), _names(section, "hostnames")
        odd = sorted(set(roles) ^ set(hostnames)) if roles and hostnames else []
        if odd:
            yield Finding(
                pod.idf,
                (*path, "hostnames"),
                f"{', '.join(name[:40] for name in odd[:5])}: in only one of nodes_roles and hostnames",
                "name the same nodes in both",
            )
