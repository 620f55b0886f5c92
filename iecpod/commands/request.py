"""What a command line asks for, resolved into valid values before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from iecpod.descriptors.addressing import Allocation, Scheme, allocate
from iecpod.descriptors.cidrs import check_cidrs
from iecpod.descriptors.encrypted import Decrypt
from iecpod.descriptors.pod import LoadedPod, load_pod
from iecpod.design.release import Release
from iecpod.design.release_file import load_release
from iecpod.design.resources import VirtType
from iecpod.design.scenario import Scenario, load_scenarios, select_scenario
from iecpod.errors import DescriptorError, PreflightError, Problem, Severity, UsageError
from iecpod.layout import Layout
from iecpod.model import NodeType, PodRef, PodSpec

EMBEDDED = "embedded"
DEFAULT_POD_CIDR = "100.100.0.0/16"
DEFAULT_SERVICE_CIDR = "172.16.1.0/24"


@dataclass(frozen=True, slots=True)
class LabDefaults:
    """`connect` None takes the libvirt URI from the nodes' `remote_management.address`."""

    connect: str | None
    scenario: str
    release: str


_CONNECTED_LAB = LabDefaults(None, "k8-calico-iec-noha", "k8s-1.36")
_LABS = {"local": LabDefaults(EMBEDDED, "k8-bridge-iec-noha", "debian12")}


def lab_defaults(lab: str) -> LabDefaults:
    """Lab `local` works on a machine that reaches Debian's packages only; other labs are as the IEC's."""
    return _LABS.get(lab, _CONNECTED_LAB)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """Options as given; None where the lab's default applies. `virt_type` None is `auto`.

    `eyaml_keys` are the files of hiera-eyaml's private and public key.
    """

    ref: PodRef
    base_uri: str
    scenario: str | None = None
    release: str | None = None
    connect: str | None = None
    virt_type: VirtType | None = None
    pod_cidr: str = DEFAULT_POD_CIDR
    service_cidr: str = DEFAULT_SERVICE_CIDR
    addressing: Scheme | None = None
    eyaml_keys: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Where and with which addresses the POD was deployed from here; None where it was not."""

    uri: str | None = None
    addressing: Scheme | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInputs:
    """A request that is valid in itself; `warnings` are the descriptors', which are `loaded`."""

    request: PodRequest
    spec: PodSpec
    warnings: tuple[Problem, ...]
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
    release = load_release(request.release or defaults.release, layout.releases_dir, layout.schemas_dir)
    uri = request.connect or recalled.uri or defaults.connect
    pod = load_pod(
        request.base_uri,
        request.ref,
        layout.schemas_dir,
        load_keys(*request.eyaml_keys),
        with_hypervisor=uri is None,
    )
    with pod.explained_errors():
        allocation = _allocate(pod.spec, request.addressing or recalled.addressing or "fuel")
        _check_cidrs(request, pod.spec)
        uri = uri or _described_uri(pod.spec)
    return PodInputs(
        request=request,
        spec=pod.spec,
        warnings=(
            *pod.warnings,
            *(pod.located(problem.rewritten(pod.secrets.hide)) for problem in allocation.problems),
        ),
        loaded=pod,
        allocation=allocation,
        scenario=scenario,
        release=release,
        uri=uri,
        pod_cidr=IPv4Network(request.pod_cidr),
        service_cidr=IPv4Network(request.service_cidr),
    )


def load_keys(private_key: str | None, public_key: str | None) -> Decrypt | None:
    """What decrypts with hiera-eyaml's keys; None without them. Raises `UsageError` where they are no pair."""
    if private_key is None and public_key is None:
        return None
    if private_key is None or public_key is None:
        missing = "--eyaml-private-key" if private_key is None else "--eyaml-public-key"
        raise UsageError(f"{missing} is missing", "hiera-eyaml needs both of its keys to decrypt: give both")
    from iecpod.descriptors.eyaml_keys import load_eyaml_keys  # OpenSSL takes its time to load

    return load_eyaml_keys(Path(private_key), Path(public_key))


def _allocate(spec: PodSpec, addressing: Scheme) -> Allocation:
    allocation = allocate(spec, addressing)
    errors = [problem for problem in allocation.problems if problem.severity is Severity.ERROR]
    problems = [*_check_virtual(spec), *errors]
    if problems:
        raise DescriptorError(problems, f"POD {spec.ref} cannot be built as described")
    return allocation


def _check_cidrs(request: PodRequest, spec: PodSpec) -> None:
    """The CIDRs in themselves. What else they overlap, the preflight looks at, all together: only a deploy minds."""
    problems = check_cidrs(request.pod_cidr, request.service_cidr, (), nodes=len(spec.pdf.nodes))
    if problems:
        raise PreflightError(problems, "the pod and service CIDRs do not fit this POD")


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
