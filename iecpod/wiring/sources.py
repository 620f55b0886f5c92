"""Bundles, archives and releases that a verb is given: imported into the cache and checked before their use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iecpod.cache.artifacts import Cache
from iecpod.cni.registry import CNIS
from iecpod.errors import ImageError
from iecpod.images.archives.import_archive import check_image_archives, take_in_all
from iecpod.images.build.go_sources import check_go_sources
from iecpod.images.bundle.transfer import StoredBundle, check_taken_in
from iecpod.images.bundle.verification import BundleTrust
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.options.option_table import PodOptions
from iecpod.pods.choose_options import choose_options
from iecpod.pods.request import DefaultSoftware, PodRequest, lab_defaults
from iecpod.pods.resolve import PodInputs
from iecpod.ports import Reporter
from iecpod.release.bundle_manifest import not_whole
from iecpod.release.file import load_release
from iecpod.release.release import Release
from iecpod.release.scenario import load_scenarios
from iecpod.release.support import check_support
from iecpod.wait import SystemClock


class GivenSources:
    def __init__(self, layout: Layout, reporter: Reporter) -> None:
        self._layout = layout
        self._reporter = reporter

    @property
    def _cache(self) -> Cache:
        return Cache(self._layout.cache_dir, self._reporter)

    def take_in(self, request: PodRequest, saved: PodOptions) -> PodRequest:
        """The request, with digests in the place of files."""
        return self._with_image_archives(self._with_bundle(request, saved))

    def _with_bundle(self, request: PodRequest, saved: PodOptions) -> PodRequest:
        """A bundle that was given is verified and taken into the cache before anything looks at it."""
        if request.files.bundle is None:
            return request
        trust = _trust(choose_options(request, self._layout, saved))
        digest = StoredBundle(request.files.bundle, trust).take_in(self._cache)
        return replace(request, options=replace(request.options, bundle=digest))

    def _with_image_archives(self, request: PodRequest) -> PodRequest:
        """As a bundle that was given."""
        if not request.files.image_archives:
            return request
        archives = take_in_all(self._cache, request.files.image_archives)
        digests = tuple(archive.digest for archive in archives)
        return replace(request, options=replace(request.options, image_archives=digests))

    def with_default_software(self, request: PodRequest, saved: PodOptions) -> PodRequest:
        """The first of the lab's releases whose sources answer, for a POD that is not there and names none."""
        defaults = lab_defaults(request.ref.lab)
        given = request.options
        if given.release or saved.release or given.bundle or len(defaults.software) == 1:
            return request
        *preferred, last = defaults.software
        for software in preferred:
            release = self._load(software)
            try:
                check_go_sources(self._cache, release, Arch.of_this_machine())
            except ImageError as error:
                self._reporter.warn(
                    f"release {software.release} cannot be made here: {error.cause}; {error.remedy}. "
                    f"Falling back to release {last.release}: {self._what_is_missing(last)}"
                )
                continue
            self._reporter.progress(
                f"release {software.release}: its sources answer (the default of lab {request.ref.lab})"
            )
            return replace(request, software=software)
        return replace(request, software=last)

    def _load(self, software: DefaultSoftware) -> Release:
        return load_release(software.release, self._layout.releases_dir, self._layout.schemas_dir)

    def _what_is_missing(self, software: DefaultSoftware) -> str:
        """What a user of the fallback would miss, of what users of a cluster expect."""
        release = self._load(software)
        scenarios = load_scenarios(self._layout.scenarios_dir, self._layout.schemas_dir)
        cni = CNIS[next(scenario.cni for scenario in scenarios if scenario.name == software.scenario)]
        is_old = check_support(release, SystemClock().today())
        return ", ".join(
            [
                f"Kubernetes {release.kubernetes_version}",
                *([f"out of upstream's support since {release.supported_until}"] if is_old else []),
                *([] if release.coredns else ["no DNS for services"]),
                *([] if cni.enforces_policies else [f"no NetworkPolicy is enforced (pod network {cni.name})"]),
            ]
        )

    def check(self, inputs: PodInputs) -> None:
        """Whether what was taken in before is still whole, and what is demanded now."""
        provided = inputs.order.release.provided
        check_image_archives(self._cache, inputs.order.release.image_archives)
        if provided is not None:
            problems = check_taken_in(self._cache, provided, _trust(inputs.order.options))
            if problems:
                raise not_whole(problems)


def _trust(options: PodOptions) -> BundleTrust:
    signers = options.bundle_signers
    return BundleTrust(digest=options.bundle_digest, signers=Path(signers) if signers else None)
