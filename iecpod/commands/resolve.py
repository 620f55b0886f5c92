"""A request resolved into valid values, before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from iecpod.commands.request import PodRequest, lab_defaults
from iecpod.descriptors.addressing import Allocation, allocate
from iecpod.descriptors.cidrs import check_cidrs, idf_networks
from iecpod.descriptors.pod import load_pod
from iecpod.design.release import Release
from iecpod.design.release_file import load_release
from iecpod.design.scenario import Scenario, load_scenarios, select_scenario
from iecpod.errors import DescriptorError, PreflightError, Problem, UsageError, count_errors
from iecpod.layout import Layout
from iecpod.model import NodeType, PodSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInputs:
    """A request that is valid in itself; `warnings` are the descriptors'."""

    request: PodRequest
    spec: PodSpec
    warnings: tuple[Problem, ...]
    allocation: Allocation
    scenario: Scenario
    release: Release
    uri: str
    pod_cidr: IPv4Network
    service_cidr: IPv4Network


def resolve_request(request: PodRequest, layout: Layout, *, recalled_uri: str | None) -> PodInputs:
    """Reads and checks descriptors, scenario and release. `recalled_uri` is where the POD was deployed before.

    Raises `DescriptorError` with every problem, `UsageError` for unknown names and impossible options.
    """
    defaults = lab_defaults(request.ref.lab)
    scenario = select_scenario(
        request.scenario or defaults.scenario, load_scenarios(layout.scenarios_dir, layout.schemas_dir)
    )
    release = load_release(request.release or defaults.release, layout.releases_dir, layout.schemas_dir)
    spec, warnings = load_pod(request.base_uri, request.ref, layout.schemas_dir, request.demoted)
    problems = _check_virtual(spec)
    if problems:
        raise DescriptorError(problems, f"POD {request.ref} cannot be built as described")
    found = check_cidrs(request.pod_cidr, request.service_cidr, idf_networks(spec), nodes=len(spec.pdf.nodes))
    overlaps = [problem.demoted(request.demoted) for problem in found]
    if count_errors(overlaps):
        raise PreflightError(overlaps, "the pod and service CIDRs do not fit this POD")
    return PodInputs(
        request=request,
        spec=spec,
        warnings=(*warnings, *overlaps),
        allocation=allocate(spec, "fuel"),
        scenario=scenario,
        release=release,
        uri=request.connect or recalled_uri or defaults.connect or _described_uri(spec),
        pod_cidr=IPv4Network(request.pod_cidr),
        service_cidr=IPv4Network(request.service_cidr),
    )


def _check_virtual(spec: PodSpec) -> list[Problem]:
    return [
        Problem(
            file=spec.pdf_file,
            path=f"nodes[{index}].node.type",
            message=f"node {node.name!r} is {node.type.value}; only virtual nodes can be deployed",
            remedy="describe virtual nodes",
            rule="node-not-virtual",
        )
        for index, node in enumerate(spec.pdf.nodes)
        if node.type is not NodeType.VIRTUAL
    ]


def _described_uri(spec: PodSpec) -> str:
    addresses = {node.remote_management.address for node in spec.pdf.nodes if node.remote_management is not None}
    if len(addresses) != 1:
        found = ", ".join(sorted(addresses)) or "none"
        raise UsageError(
            f"the nodes' remote_management.address must name one libvirt URI; it names {found}",
            "give the hypervisor with -c/--connect",
        )
    return addresses.pop()
