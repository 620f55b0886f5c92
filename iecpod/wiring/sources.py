"""Bundles, archives and releases that a verb is given: imported into the cache and checked before their use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iecpod.commands.recalled import Recalled
from iecpod.commands.request import DefaultSoftware, PodRequest, lab_defaults
from iecpod.commands.resolve import PodInputs, demanded_digest
from iecpod.design.bundle_manifest import not_whole
from iecpod.design.release_file import load_release
from iecpod.errors import ImageError
from iecpod.images.bundle_files import StoredBundle, check_taken_in
from iecpod.images.bundle_trust import BundleTrust
from iecpod.images.cache import Cache
from iecpod.images.go_sources import check_go_sources
from iecpod.images.image_archives import check_image_archives, take_in_all
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.ports import Reporter


class GivenSources:
    def __init__(self, layout: Layout, reporter: Reporter) -> None:
        self._layout = layout
        self._reporter = reporter

    @property
    def _cache(self) -> Cache:
        return Cache(self._layout.cache_dir, self._reporter)

    def take_in(self, request: PodRequest, recalled: Recalled) -> PodRequest:
        """The request, with digests in the place of files."""
        return self._with_image_archives(self._with_bundle(request, recalled))

    def _with_bundle(self, request: PodRequest, recalled: Recalled) -> PodRequest:
        """A bundle that was given is verified and taken into the cache before anything looks at it."""
        if request.bundle_file is None:
            return request
        trust = _trust(demanded_digest(request, recalled), request.bundle_signers or recalled.bundle_signers)
        digest = StoredBundle(request.bundle_file, trust).take_in(self._cache)
        return replace(request, bundle=digest)

    def _with_image_archives(self, request: PodRequest) -> PodRequest:
        """As a bundle that was given."""
        if not request.image_archive_files:
            return request
        archives = take_in_all(self._cache, request.image_archive_files)
        return replace(request, image_archives=tuple(archive.digest for archive in archives))

    def with_default_software(self, request: PodRequest, recalled: Recalled) -> PodRequest:
        """The first of the lab's releases whose sources answer, for a POD that is not there and names none."""
        defaults = lab_defaults(request.ref.lab)
        if request.release or recalled.release or request.bundle or len(defaults.software) == 1:
            return request
        *preferred, last = defaults.software
        for software in preferred:
            release = load_release(software.release, self._layout.releases_dir, self._layout.schemas_dir)
            try:
                check_go_sources(self._cache, release, Arch.of_this_machine())
            except ImageError as error:
                self._reporter.warn(
                    f"release {software.release} cannot be made here: {error.cause}; {error.remedy}. "
                    f"Falling back to release {last.release}, which upstream no longer supports"
                )
                continue
            self._reporter.progress(
                f"release {software.release}: its sources answer (the default of lab {request.ref.lab})"
            )
            return _with_software(request, software)
        return _with_software(request, last)

    def check(self, inputs: PodInputs) -> None:
        """Whether what was taken in before is still whole, and what is demanded now."""
        provided, chosen = inputs.release.provided, inputs.chosen
        check_image_archives(self._cache, inputs.release.image_archives)
        if provided is not None:
            trust = _trust(chosen.bundle_digest, chosen.bundle_signers)
            problems = check_taken_in(self._cache, provided, trust)
            if problems:
                raise not_whole(problems)


def _trust(digest: str | None, signers: str | None) -> BundleTrust:
    return BundleTrust(digest=digest, signers=Path(signers) if signers else None)


def _with_software(request: PodRequest, software: DefaultSoftware) -> PodRequest:
    return replace(request, release=software.release, scenario=request.scenario or software.scenario)
