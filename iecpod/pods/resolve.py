"""A request resolved into valid values, before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from iecpod.cni.registry import CNIS
from iecpod.descriptors.addresses.addressing import Allocation, allocate
from iecpod.descriptors.addresses.node_order import merged_places, with_places
from iecpod.descriptors.load_pod import LoadedPod, load_pod
from iecpod.design.pod_design import PodOrder
from iecpod.design.software.bundle_delivery import choose_bundle_via
from iecpod.layout import Layout
from iecpod.model import PodSpec
from iecpod.options.choices import BundleVia
from iecpod.options.option import Source
from iecpod.options.option_table import PodOptions
from iecpod.pods.choose_options import check_existing, choose_options
from iecpod.pods.chosen_release import load_chosen_release, with_encapsulation
from iecpod.pods.described_pod import check_names, check_own_cidrs, choose_site, refuse
from iecpod.pods.eyaml_keys import load_keys
from iecpod.pods.request import PodRequest, lab_defaults
from iecpod.pods.saved import SavedPod
from iecpod.release.container_environment import read_manifest_patch
from iecpod.release.file import foreign_release_file
from iecpod.release.release import Release
from iecpod.release.scenario import Scenario, load_scenarios, select_scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInputs:
    """A request that is valid in itself, and the order that it is; `loaded` is what its `spec` was made from.

    `places` are those of all nodes that have or had one, by their names in the PDF. `release_file` is the file that
    the release was read from, empty where it is one of iecpod's own or a bundle's.
    """

    request: PodRequest
    order: PodOrder
    loaded: LoadedPod
    places: Mapping[str, int] = field(repr=False)  # names may be secrets of the PDF
    release_file: str = ""

    @property
    def to_save(self) -> SavedPod:
        """What is saved of the POD by its deploy."""
        pdf = self.order.spec.pdf
        planned_nodes = pdf.place_count if pdf.planned_nodes is None else pdf.planned_nodes
        return SavedPod(options=self.order.options, places=self.places, planned_nodes=planned_nodes)


def resolve_request(request: PodRequest, layout: Layout, saved: SavedPod) -> PodInputs:
    """Reads and checks descriptors, scenario and release.

    Raises `DescriptorError` with every problem, `UsageError` for unknown names and impossible options.
    """
    request = _with_manifest_patch(request, layout)
    chosen = choose_options(request, layout, saved.options)
    release = load_chosen_release(request, chosen, layout)
    chosen, scenario = _with_scenario(request, chosen, release, layout)
    release = with_encapsulation(request.options, chosen, release, scenario)
    if not chosen.makes_machines:
        check_existing(request)
        release = replace(release, user=chosen.user) if chosen.user else release
    loaded = _load(request, chosen, layout)
    with loaded.explained_errors():
        site = choose_site(loaded.spec, chosen.site)
        spec, allocation = _allocated(request, chosen, loaded.spec, saved)
        if chosen.site is None:
            chosen = chosen.changed(Source.DEFAULT, uri=site.uri)
    chosen = _with_software(request, chosen, release, scenario)
    order = PodOrder(
        spec=spec,
        allocation=allocation,
        scenario=scenario,
        cni=CNIS[scenario.cni],
        release=release,
        options=chosen,
    )
    return PodInputs(
        request=request,
        order=order,
        loaded=loaded,
        places=merged_places(spec, saved.places),
        release_file="" if release.provided else foreign_release_file(chosen.release or "", layout.releases_dir),
    )


def _with_manifest_patch(request: PodRequest, layout: Layout) -> PodRequest:
    """Of the file that is given now, which takes the place of the one before as a whole."""
    if request.files.manifest_patch is None:
        return request
    patch = read_manifest_patch(request.files.manifest_patch, layout.schemas_dir)
    return replace(request, options=replace(request.options, manifest_patch=patch))


def _with_scenario(
    request: PodRequest, chosen: PodOptions, release: Release, layout: Layout
) -> tuple[PodOptions, Scenario]:
    """Where none is given or saved, the lab's, of several the first whose pod network the release has."""
    assert chosen.scenario
    scenarios = load_scenarios(layout.scenarios_dir, layout.schemas_dir)
    if chosen.source("scenario") in (Source.GIVEN, Source.SAVED):
        return chosen, select_scenario(chosen.scenario, scenarios)
    lab = lab_defaults(request.ref.lab)
    found = [select_scenario(software.scenario, scenarios) for software in lab.in_order_for(release.name)]
    scenario = next((one for one in found if one.cni in release.cnis), found[0])
    return chosen.changed(lab.source, scenario=scenario.name), scenario


def _load(request: PodRequest, chosen: PodOptions, layout: Layout) -> LoadedPod:
    assert chosen.base_uri and chosen.addressing
    return load_pod(
        chosen.base_uri,
        request.ref,
        layout.schemas_dir,
        load_keys(*request.eyaml_keys),
        demoted=request.demoted,
        scheme=chosen.addressing,
        with_hypervisor=chosen.site is None,
    )


def _allocated(
    request: PodRequest, chosen: PodOptions, described: PodSpec, saved: SavedPod
) -> tuple[PodSpec, Allocation]:
    """The nodes at the places that they had, and the addresses that they get."""
    assert chosen.pod_cidr and chosen.service_cidr and chosen.addressing
    if not chosen.makes_machines:
        check_names(described)
    check_own_cidrs(chosen.pod_cidr, chosen.service_cidr, described, request.demoted)
    spec = with_places(described, saved.places, saved.planned_nodes)
    allocation = allocate(spec, chosen.addressing)
    if saved.places:
        # Descriptors were checked as those of a new POD; nodes that keep their places may get other addresses.
        refuse(spec, [problem.demoted(request.demoted) for problem in allocation.problems])
    return spec, allocation


def _with_software(request: PodRequest, chosen: PodOptions, release: Release, scenario: Scenario) -> PodOptions:
    """With what the release has of its own where nothing was chosen."""
    if release.provided:
        source = chosen.source("bundle") or Source.DEFAULT
        chosen = chosen.changed(source, release=release.name)
    encapsulation = CNIS[scenario.cni].encapsulation(release)
    via = _bundle_via(request, chosen, release)
    return chosen.changed(Source.DEFAULT, scenario=scenario.name, calico_encapsulation=encapsulation, bundle_via=via)


def _bundle_via(request: PodRequest, chosen: PodOptions, release: Release) -> BundleVia | None:
    """A deploy of machines alone is spared the making of a bundle."""
    site, asked = chosen.site, request.options.bundle_via
    assert site is not None
    known = chosen.bundle_via or (BundleVia.SSH if request.stops_before_kubernetes else None)
    return choose_bundle_via(release, site, asked=asked, known=known)
