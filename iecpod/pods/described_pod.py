"""What descriptors must be for a POD to be built of them, whatever a demoted rule lets through."""

from __future__ import annotations

import re
from collections.abc import Sequence

from iecpod.descriptors.addresses.cidrs import TakenNetwork, check_cidrs, idf_networks
from iecpod.design.machine_groups import group_nodes, has_maker
from iecpod.errors import DescriptorError, PreflightError, Problem, UsageError, count_errors
from iecpod.model import PodSpec
from iecpod.options.site import Site

#: A DNS label, as host names and names of Nodes are made of.
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def refuse(spec: PodSpec, problems: Sequence[Problem]) -> None:
    """Raises `DescriptorError` with all of them where one is an error."""
    if count_errors(problems):
        raise DescriptorError(problems, f"POD {spec.ref} cannot be built as described")


def choose_site(spec: PodSpec, chosen: Site | None) -> Site:
    """Where all machines of the POD come from: today, PODs have one group of them.

    Raises `DescriptorError` with every node that no provider makes a machine for, `UsageError` for more than one group.
    """
    refuse(
        spec,
        [
            Problem(
                file=spec.pdf_file,
                path=f"nodes[{index}].node.type",
                message=f"node {node.name!r} is {node.type.value}; only virtual nodes can be deployed",
                remedy="describe virtual nodes, or give --provider existing where they have an operating system",
                rule="node-not-virtual",
            )
            for index, node in enumerate(spec.pdf.nodes)
            if not has_maker(node, chosen)
        ],
    )
    groups = group_nodes(spec, chosen)
    if len(groups) == 1 and len(groups[0].nodes) == len(spec.pdf.nodes):
        return groups[0].site
    found = ", ".join(sorted(str(group.site) for group in groups)) or "none"
    raise UsageError(
        f"the nodes' remote_management.address must name one libvirt URI; it names {found}",
        "give the hypervisor with -c/--connect",
    )


def check_names(spec: PodSpec) -> None:
    """Nodes of machines that are there have the PDF's names, in the cluster, too."""
    refuse(
        spec,
        [
            Problem(
                file=spec.pdf_file,
                path=f"nodes[{index}].name",
                message=f"{node.name!r} cannot be the name of a cluster's node",
                remedy="use lower-case letters, digits and '-'; begin and end with a letter or digit",
                rule="node-name",
            )
            for index, node in enumerate(spec.pdf.nodes)
            if not _NODE_NAME.fullmatch(node.name)
        ],
    )


def check_own_cidrs(pod_cidr: str, service_cidr: str, spec: PodSpec, demoted: frozenset[str]) -> None:
    """CIDRs that cannot be by themselves are refused, together with the networks of the IDF that they overlap as well.

    Those that only overlap other networks are for the preflight, all together: only a deploy minds. It warns of what is
    demoted, too.
    """

    def problems(taken: Sequence[TakenNetwork]) -> list[Problem]:
        found = check_cidrs(pod_cidr, service_cidr, taken, nodes=spec.pdf.place_count)
        return [problem.demoted(demoted) for problem in found]

    if count_errors(problems(())):
        raise PreflightError(problems(idf_networks(spec)), "the pod and service CIDRs do not fit this POD")
