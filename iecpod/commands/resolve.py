"""A request resolved into valid values, before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from iecpod.commands.eyaml import load_keys
from iecpod.commands.request import PodRequest, lab_defaults
from iecpod.descriptors.addressing import Allocation, Scheme, allocate
from iecpod.descriptors.cidrs import TakenNetwork, check_cidrs, idf_networks
from iecpod.descriptors.pod import LoadedPod, load_pod
from iecpod.design.release import Release
from iecpod.design.release_file import load_release
from iecpod.design.scenario import Scenario, load_scenarios, select_scenario
from iecpod.design.supply import apply_supply
from iecpod.errors import DescriptorError, PreflightError, Problem, UsageError, count_errors
from iecpod.layout import Layout
from iecpod.model import NodeType, PodSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Where and with which addresses the POD was deployed from here; None where it was not."""

    uri: str | None = None
    addressing: Scheme | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInputs:
    """A request that is valid in itself; `loaded` is what `spec` was made from, with the warnings about it."""

    request: PodRequest
    spec: PodSpec
    loaded: LoadedPod
    allocation: Allocation
    scenario: Scenario
    release: Release
    uri: str
    pod_cidr: IPv4Network
    service_cidr: IPv4Network


def resolve_request(request: PodRequest, layout: Layout, recalled: Recalled) -> PodInputs:
    """Reads and checks descriptors, scenario and release.

    Raises `DescriptorError` with every problem, `UsageError` for unknown names and impossible options.
    """
    defaults = lab_defaults(request.ref.lab)
    scenario = select_scenario(
        request.scenario or defaults.scenario, load_scenarios(layout.scenarios_dir, layout.schemas_dir)
    )
    release_name = request.release or defaults.release
    release = load_release(release_name, layout.releases_dir, layout.schemas_dir, request.base_os)
    if request.supply is not None:
        release = apply_supply(release, request.supply)
    uri = request.connect or recalled.uri or defaults.connect
    scheme = request.addressing or recalled.addressing or "fuel"
    pod = load_pod(
        request.base_uri,
        request.ref,
        layout.schemas_dir,
        load_keys(*request.eyaml_keys),
        demoted=request.demoted,
        scheme=scheme,
        with_hypervisor=uri is None,
    )
    with pod.explained_errors():
        _check_virtual(pod.spec)
        _check_cidrs(request, pod.spec)
        uri = uri or _described_uri(pod.spec)
    return PodInputs(
        request=request,
        spec=pod.spec,
        loaded=pod,
        allocation=allocate(pod.spec, scheme),
        scenario=scenario,
        release=release,
        uri=uri,
        pod_cidr=IPv4Network(request.pod_cidr),
        service_cidr=IPv4Network(request.service_cidr),
    )


def _check_virtual(spec: PodSpec) -> None:
    problems = [
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
    if problems:
        raise DescriptorError(problems, f"POD {spec.ref} cannot be built as described")


def _check_cidrs(request: PodRequest, spec: PodSpec) -> None:
    """CIDRs that cannot be by themselves are refused, together with the networks of the IDF that they overlap as well.

    Those that only overlap other networks are for the preflight, all together: only a deploy minds. It warns of what is
    demoted, too.
    """

    def problems(taken: Sequence[TakenNetwork]) -> list[Problem]:
        found = check_cidrs(request.pod_cidr, request.service_cidr, taken, nodes=len(spec.pdf.nodes))
        return [problem.demoted(request.demoted) for problem in found]

    if count_errors(problems(())):
        raise PreflightError(problems(idf_networks(spec)), "the pod and service CIDRs do not fit this POD")


def _described_uri(spec: PodSpec) -> str:
    addresses = {node.remote_management.address for node in spec.pdf.nodes if node.remote_management is not None}
    if len(addresses) != 1:
        found = ", ".join(sorted(addresses)) or "none"
        raise UsageError(
            f"the nodes' remote_management.address must name one libvirt URI; it names {found}",
            "give the hypervisor with -c/--connect",
        )
    return addresses.pop()
