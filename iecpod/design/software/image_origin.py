"""Where the images of a POD's manifests come from, known before a machine is made; and which are nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from iecpod.errors import Problem
from iecpod.model import Arch
from iecpod.release.image_reference import digest_of, full_reference, without_digest
from iecpod.release.mirrors import Supply
from iecpod.release.release import Release

MISSING = "missing"
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class NeededImage:
    """`wanted_by` is what the manifest is of; `origin` are words, `MISSING` where nodes could not get the image."""

    wanted_by: str
    reference: str
    origin: str


def find_origins(
    wanted: Mapping[str, Sequence[str]], release: Release, supply: Supply, archs: Sequence[Arch]
) -> tuple[NeededImage, ...]:
    """`wanted` are images, as manifests name them, by what they are of; `archs` are those of the nodes."""
    return tuple(
        NeededImage(of, name, _origin(name, release, supply, archs)) for of, names in wanted.items() for name in names
    )


def _origin(name: str, release: Release, supply: Supply, archs: Sequence[Arch]) -> str:
    reference = full_reference(name)
    if release.needs_no_network or not digest_of(name):
        # By a digest no archive is found: nodes would ask the registry.
        archives = [_archive_with(without_digest(reference), release, arch) for arch in archs]
        if archives and all(archives):
            return ", ".join(dict.fromkeys(archives))
    if not release.needs_no_network:
        registry = reference.partition("/")[0]
        mirror = supply.registry_mirrors.get(registry)
        return f"registry {registry}" + (f", by {mirror}" if mirror else "")
    if release.provided is not None:
        is_there = without_digest(reference) in release.provided.manifest.references
        return f"bundle {release.provided.digest[:_SHOWN_DIGITS]}" if is_there else MISSING
    return f"release {release.name}, made here" if without_digest(reference) in made_references(release) else MISSING


def _archive_with(reference: str, release: Release, arch: Arch) -> str:
    found = (str(archive) for archive in release.image_archives if reference in archive.references(arch))
    return next(found, "")


def made_references(release: Release) -> frozenset[str]:
    """Of a release whose images are made here: those that no part of Kubernetes is in."""
    if release.bundle is None:
        return frozenset()
    return frozenset(filter(None, (release.pause_image, release.nginx_image, release.kube_router_image)))


def check_origins(images: Sequence[NeededImage], archs: Sequence[Arch]) -> Iterator[Problem]:
    platforms = " and ".join(f"linux/{arch.debian}" for arch in archs)
    for image in images:
        if image.origin == MISSING:
            yield Problem(
                message=f"{image.wanted_by} needs the image {image.reference}, which nodes are not given, and they "
                "reach no registry",
                remedy=f"where there is a network: `docker pull {image.reference}` for {platforms} and `docker save "
                f"{image.reference} -o FILE`; then give it with --image-archive FILE",
                rule="image-missing",
            )


def check_given_twice(release: Release) -> Iterator[Problem]:
    """Images of archives that nodes are given anyway: which of the two they would run is undefined."""
    given = made_references(release)
    if release.provided is not None:
        given |= frozenset(release.provided.manifest.references)
    for archive in release.image_archives:
        for reference in sorted({image.reference for image in archive.images} & given):
            yield Problem(
                message=f"{archive} has the image {reference}, which nodes are given already",
                remedy="leave the archive out, or save it without that image",
                rule="image-archive-conflict",
            )
