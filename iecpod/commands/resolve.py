"""A request resolved into valid values, before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

from iecpod.cni.registry import CNIS
from iecpod.commands.eyaml import load_keys
from iecpod.commands.recalled import Recalled
from iecpod.commands.request import DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR, PodRequest, lab_defaults
from iecpod.descriptors.addressing import Allocation, Scheme, allocate
from iecpod.descriptors.cidrs import TakenNetwork, check_cidrs, idf_networks
from iecpod.descriptors.places import merged_places, with_places
from iecpod.descriptors.pod import LoadedPod, load_pod
from iecpod.design.bundle_manifest import bundle_dir, read_bundle_manifest
from iecpod.design.bundled_release import load_bundled_release
from iecpod.design.container_environment import ContainerEnvironment, read_manifest_patch
from iecpod.design.delivery import BundleVia, choose_bundle_via
from iecpod.design.machines import ProviderName, Site
from iecpod.design.pod import PodOrder
from iecpod.design.release import Release
from iecpod.design.release_file import load_release, names_file, read_release
from iecpod.design.scenario import Scenario, load_scenarios, select_scenario
from iecpod.design.supply import Supply, add_manifests, apply_supply
from iecpod.errors import DescriptorError, PreflightError, Problem, UsageError, count_errors
from iecpod.file_reader import is_there
from iecpod.hypervisor_uri import HypervisorUri
from iecpod.images.image_archives import load_image_archive
from iecpod.layout import Layout
from iecpod.model import NodeType, PodSpec

#: A DNS label, as host names and names of Nodes are made of.
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInputs:
    """A request that is valid in itself; `loaded` is what `spec` was made from, with the warnings about it.

    `chosen` is the request with what was recalled and all defaults filled in.
    """

    request: PodRequest
    chosen: Recalled
    spec: PodSpec
    loaded: LoadedPod
    allocation: Allocation
    scenario: Scenario
    release: Release
    site: Site
    pod_cidr: IPv4Network
    service_cidr: IPv4Network

    @property
    def order(self) -> PodOrder:
        """What the provider and the design need of it."""
        return PodOrder(
            spec=self.spec,
            allocation=self.allocation,
            scenario=self.scenario,
            cni=CNIS[self.scenario.cni],
            release=self.release,
            supply=self.chosen.supply,
            pod_cidr=self.pod_cidr,
            service_cidr=self.service_cidr,
            virt_type=self.chosen.virt_type,
            vcpus=self.chosen.vcpus,
            memory_mib=self.chosen.memory_mib,
            disposable=self.chosen.disposable is True,
            bundle_via=self.chosen.bundle_via,
            named_by_pdf=self.site.provider is ProviderName.EXISTING,
        )


def resolve_request(request: PodRequest, layout: Layout, recalled: Recalled) -> PodInputs:
    """Reads and checks descriptors, scenario and release.

    Raises `DescriptorError` with every problem, `UsageError` for unknown names and impossible options.
    """
    chosen = choose(request, layout, recalled)
    assert chosen.base_uri and chosen.scenario and chosen.release and chosen.pod_cidr and chosen.service_cidr
    release = _with_given(_load_release(request, chosen, layout), chosen, layout)
    scenarios = load_scenarios(layout.scenarios_dir, layout.schemas_dir)
    if request.scenario or recalled.scenario:
        scenario = select_scenario(chosen.scenario, scenarios)
    else:
        scenario = _default_scenario(request, release, scenarios)
    release = _with_encapsulation(request, chosen, release, scenario)
    is_existing = chosen.provider is ProviderName.EXISTING
    if is_existing:
        _check_existing(request)
    if is_existing and chosen.user:
        release = replace(release, user=chosen.user)
    scheme = _scheme(chosen)
    pod = load_pod(
        chosen.base_uri,
        request.ref,
        layout.schemas_dir,
        load_keys(*request.eyaml_keys),
        demoted=request.demoted,
        scheme=scheme,
        with_hypervisor=chosen.uri is None and not is_existing,
    )
    with pod.explained_errors():
        if is_existing:
            _check_names(pod.spec)
        else:
            _check_virtual(pod.spec)
        _check_cidrs(request, chosen.pod_cidr, chosen.service_cidr, pod.spec)
        spec = with_places(pod.spec, chosen.places, chosen.planned_nodes)
        allocation = allocate(spec, scheme)
        if chosen.places:
            # Descriptors were checked as those of a new POD; nodes that keep their places may get other addresses.
            _refuse(spec, [problem.demoted(request.demoted) for problem in allocation.problems])
        site = chosen.site or Site(ProviderName.LIBVIRT, _described_uri(pod.spec))
    return PodInputs(
        request=request,
        chosen=replace(
            chosen,
            uri=site.uri,
            scenario=scenario.name,
            release=release.name if release.provided else chosen.release,
            bundle_via=_bundle_via(request, chosen, release, site),
            calico_encapsulation=CNIS[scenario.cni].encapsulation(release),
            places=merged_places(spec, chosen.places),
            planned_nodes=spec.pdf.place_count if spec.pdf.planned_nodes is None else spec.pdf.planned_nodes,
        ),
        spec=spec,
        loaded=pod,
        allocation=allocation,
        scenario=scenario,
        release=release,
        site=site,
        pod_cidr=IPv4Network(chosen.pod_cidr),
        service_cidr=IPv4Network(chosen.service_cidr),
    )


def _scheme(chosen: Recalled) -> Scheme:
    if chosen.addressing == "stated":
        return "stated"
    return "compact" if chosen.addressing == "compact" else "fuel"


def _default_scenario(request: PodRequest, release: Release, scenarios: tuple[Scenario, ...]) -> Scenario:
    """The lab's, of several the first whose pod network the release has."""
    names = [software.scenario for software in lab_defaults(request.ref.lab).in_order_for(release.name)]
    found = [select_scenario(name, scenarios) for name in names]
    return next((scenario for scenario in found if scenario.cni in release.cnis), found[0])


def _with_encapsulation(request: PodRequest, chosen: Recalled, release: Release, scenario: Scenario) -> Release:
    """What was chosen takes the place of the release's."""
    cni = CNIS[scenario.cni]
    own = cni.encapsulation(release)
    if own is None:
        if request.calico_encapsulation is not None:
            raise UsageError(
                f"--calico-encapsulation is for Calico, and {scenario.name} with release {release.name} has {cni.name}",
                "leave the option out, or choose a scenario with Calico (-s k8-calico-iec-noha)",
            )
        return release
    return cni.with_encapsulation(release, chosen.calico_encapsulation or own)


def _load_release(request: PodRequest, chosen: Recalled, layout: Layout) -> Release:
    """From its file, or from the bundle, which takes the place of all its sources."""
    assert chosen.release
    if chosen.bundle is None:
        if request.bundle_digest is not None:
            raise UsageError("--bundle-digest is that of a bundle, and none is given", "add --bundle, or leave it out")
        release = load_release(chosen.release, layout.releases_dir, layout.schemas_dir, chosen.base_os)
        return apply_supply(release, chosen.supply)
    path = bundle_dir(layout.cache_dir, chosen.bundle)
    release = load_bundled_release(read_bundle_manifest(path), path, layout.schemas_dir)
    wanted = request.release and read_release(request.release, layout.releases_dir, layout.schemas_dir)["name"]
    if wanted not in (None, release.name) or request.base_os not in (None, release.base_os):
        asked = " on ".join(filter(None, (wanted or release.name, request.base_os)))
        raise UsageError(
            f"the bundle is of release {release.name} on {release.base_os}, not of {asked}",
            "leave --release and -o out, or build a bundle of that release",
        )
    given = request.supply or Supply()
    if given.replaces_sources or any(
        manifest.file and manifest.name in given.manifests for manifest in release.manifests
    ):
        raise UsageError(
            "--bundle brings image, packages and manifests, and another option says where to fetch them",
            "leave out --image-url, --repository, --repository-key and --manifest, or --bundle",
        )
    return add_manifests(release, chosen.supply.manifests, given.manifests)


def _with_given(release: Release, chosen: Recalled, layout: Layout) -> Release:
    """With what no release and no bundle has: images and settings of the user's own."""
    return replace(
        release,
        image_archives=tuple(load_image_archive(layout.cache_dir, digest) for digest in chosen.image_archives),
        manifest_patch=chosen.manifest_patch or (),
    )


def _manifest_patch(request: PodRequest, layout: Layout, recalled: Recalled) -> tuple[ContainerEnvironment, ...]:
    """Of the file that is given now, which takes the place of the one before as a whole."""
    if request.manifest_patch_file is not None:
        return read_manifest_patch(request.manifest_patch_file, layout.schemas_dir)
    return recalled.manifest_patch or ()


def choose(request: PodRequest, layout: Layout, recalled: Recalled) -> Recalled:
    """What was asked for, else what the POD was deployed with, else the default."""
    defaults = lab_defaults(request.ref.lab)
    release = _lasting_release(request.release) or recalled.release
    if release != recalled.release:
        recalled = recalled.of_any_release()
    software = defaults.in_order_for(release)[0]
    provider = request.provider or recalled.provider or ProviderName.LIBVIRT
    is_existing = provider is ProviderName.EXISTING
    return Recalled(
        provider=provider,
        uri=None if is_existing else request.connect or recalled.uri or defaults.connect,
        user=(request.login.user or recalled.user) if is_existing else None,
        addressing="stated" if is_existing else request.addressing or recalled.addressing or "fuel",
        base_uri=_lasting(request.base_uri) or recalled.base_uri or str(layout.pdf_dir),
        scenario=request.scenario or recalled.scenario or software.scenario,
        release=release or software.release,
        base_os=request.base_os or recalled.base_os,
        pod_cidr=request.pod_cidr or recalled.pod_cidr or DEFAULT_POD_CIDR,
        service_cidr=request.service_cidr or recalled.service_cidr or DEFAULT_SERVICE_CIDR,
        virt_type=request.virt_type or recalled.virt_type,
        vcpus=request.vcpus or recalled.vcpus,
        memory_mib=request.memory_mib or recalled.memory_mib,
        disposable=_first_known(request.disposable, recalled.disposable, defaults.disposable),
        bundle_via=recalled.bundle_via,
        calico_encapsulation=request.calico_encapsulation or recalled.calico_encapsulation,
        bundle=request.bundle or (recalled.bundle if request.release is None else None),
        bundle_digest=demanded_digest(request, recalled),
        bundle_signers=request.bundle_signers or recalled.bundle_signers,
        image_archives=recalled.image_archives if request.image_archives is None else request.image_archives,
        manifest_patch=_manifest_patch(request, layout, recalled),
        supply=recalled.supply.overlaid(request.supply) if request.supply else recalled.supply,
        places=recalled.places,
        planned_nodes=recalled.planned_nodes,
    )


def demanded_digest(request: PodRequest, recalled: Recalled) -> str | None:
    """That of the bundle, if one is demanded. `--release` goes back to the sources, and forgets it with the bundle."""
    return request.bundle_digest or (recalled.bundle_digest if request.release is None else None)


def _first_known(*choices: bool | None) -> bool:
    return next((choice for choice in choices if choice is not None), False)


def _bundle_via(request: PodRequest, chosen: Recalled, release: Release, site: Site) -> BundleVia | None:
    """A deploy of machines alone is spared the making of a bundle."""
    known = chosen.bundle_via or (BundleVia.SSH if request.stops_before_kubernetes else None)
    return choose_bundle_via(release, site, asked=request.bundle_via, known=known)


def _lasting_release(name_or_path: str | None) -> str | None:
    return _lasting(name_or_path) if name_or_path and names_file(name_or_path) else name_or_path


def _lasting(name_or_path: str | None) -> str | None:
    """A path that exists becomes one that holds wherever a later command is called; names and URIs stay."""
    if name_or_path is None or not is_there(Path(name_or_path)):
        return name_or_path
    return str(Path.cwd() / name_or_path)


def _refuse(spec: PodSpec, problems: Sequence[Problem]) -> None:
    """Raises `DescriptorError` with all of them where one is an error."""
    if count_errors(problems):
        raise DescriptorError(problems, f"POD {spec.ref} cannot be built as described")


def _check_virtual(spec: PodSpec) -> None:
    _refuse(
        spec,
        [
            Problem(
                file=spec.pdf_file,
                path=f"nodes[{index}].node.type",
                message=f"node {node.name!r} is {node.type.value}; only virtual nodes can be deployed",
                remedy="describe virtual nodes",
                rule="node-not-virtual",
            )
            for index, node in enumerate(spec.pdf.nodes)
            if node.type is not NodeType.VIRTUAL
        ],
    )


def _check_existing(request: PodRequest) -> None:
    """Options that say how machines are made mean nothing for those that are there."""
    given = {
        "--connect": request.connect,
        "--vcpus": request.vcpus,
        "--memory": request.memory_mib,
        "--addressing": request.addressing,
    }
    for option, value in given.items():
        if value is not None:
            raise UsageError(
                f"{option} is for machines that iecpod makes, and those of POD {request.ref} are there already",
                "leave it out",
            )


def _check_names(spec: PodSpec) -> None:
    """Nodes of machines that are there have the PDF's names, in the cluster, too."""
    _refuse(
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


def _check_cidrs(request: PodRequest, pod_cidr: str, service_cidr: str, spec: PodSpec) -> None:
    """CIDRs that cannot be by themselves are refused, together with the networks of the IDF that they overlap as well.

    Those that only overlap other networks are for the preflight, all together: only a deploy minds. It warns of what is
    demoted, too.
    """

    def problems(taken: Sequence[TakenNetwork]) -> list[Problem]:
        found = check_cidrs(pod_cidr, service_cidr, taken, nodes=spec.pdf.place_count)
        return [problem.demoted(request.demoted) for problem in found]

    if count_errors(problems(())):
        raise PreflightError(problems(idf_networks(spec)), "the pod and service CIDRs do not fit this POD")


def _described_uri(spec: PodSpec) -> HypervisorUri:
    managements = [node.remote_management for node in spec.pdf.nodes]
    uris = {management.hypervisor if management is not None else None for management in managements}
    uri = uris.pop() if len(uris) == 1 else None
    if uri is None:
        found = ", ".join(sorted(str(each) for each in uris if each is not None)) or "none"
        raise UsageError(
            f"the nodes' remote_management.address must name one libvirt URI; it names {found}",
            "give the hypervisor with -c/--connect",
        )
    return uri
