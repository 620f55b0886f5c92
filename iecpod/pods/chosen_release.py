"""The release that a POD gets: from its file or a bundle, with what options change of it."""

from __future__ import annotations

from dataclasses import replace

from iecpod.cni.registry import CNIS
from iecpod.errors import UsageError
from iecpod.images.archives.import_archive import load_image_archive
from iecpod.layout import Layout
from iecpod.options.option_table import PodOptions
from iecpod.pods.request import PodRequest
from iecpod.release.bundle_manifest import bundle_dir, read_bundle_manifest
from iecpod.release.bundled import load_bundled_release
from iecpod.release.file import load_release, read_release
from iecpod.release.mirrors import Supply, add_manifests, apply_supply
from iecpod.release.release import Release
from iecpod.release.scenario import Scenario


def load_chosen_release(request: PodRequest, chosen: PodOptions, layout: Layout) -> Release:
    """With the images and settings of the user's own, which no release and no bundle has. Raises `UsageError`."""
    release = _load(request.options, chosen, layout)
    archives = chosen.image_archives or ()
    return replace(
        release,
        image_archives=tuple(load_image_archive(layout.cache_dir, digest) for digest in archives),
        manifest_patch=chosen.manifest_patch or (),
    )


def _load(given: PodOptions, chosen: PodOptions, layout: Layout) -> Release:
    """From its file, or from the bundle, which takes the place of all its sources."""
    supply = chosen.supply or Supply()
    if chosen.bundle is None:
        if given.bundle_digest is not None:
            raise UsageError("--bundle-digest is that of a bundle, and none is given", "add --bundle, or leave it out")
        assert chosen.release
        release = load_release(chosen.release, layout.releases_dir, layout.schemas_dir, chosen.base_os)
        return apply_supply(release, supply)
    path = bundle_dir(layout.cache_dir, chosen.bundle)
    release = load_bundled_release(read_bundle_manifest(path), path, layout.schemas_dir)
    _check_same_release(given, release, layout)
    _check_no_other_sources(given.supply or Supply(), release)
    return add_manifests(release, supply.manifests, (given.supply or Supply()).manifests)


def _check_same_release(given: PodOptions, release: Release, layout: Layout) -> None:
    wanted = given.release and read_release(given.release, layout.releases_dir, layout.schemas_dir)["name"]
    if wanted not in (None, release.name) or given.base_os not in (None, release.base_os):
        asked = " on ".join(filter(None, (wanted or release.name, given.base_os)))
        raise UsageError(
            f"the bundle is of release {release.name} on {release.base_os}, not of {asked}",
            "leave --release and -o out, or build a bundle of that release",
        )


def _check_no_other_sources(given: Supply, release: Release) -> None:
    if given.replaces_sources or any(
        manifest.file and manifest.name in given.manifests for manifest in release.manifests
    ):
        raise UsageError(
            "--bundle brings image, packages and manifests, and another option says where to fetch them",
            "leave out --image-url, --repository, --repository-key and --manifest, or --bundle",
        )


def with_encapsulation(given: PodOptions, chosen: PodOptions, release: Release, scenario: Scenario) -> Release:
    """What was chosen takes the place of the release's. Raises `UsageError`."""
    cni = CNIS[scenario.cni]
    own = cni.encapsulation(release)
    if own is None:
        if given.calico_encapsulation is not None:
            raise UsageError(
                f"--calico-encapsulation is for Calico, and {scenario.name} with release {release.name} has {cni.name}",
                "leave the option out, or choose a scenario with Calico (-s k8-calico-iec-noha)",
            )
        return release
    return cni.with_encapsulation(release, chosen.calico_encapsulation or own)
