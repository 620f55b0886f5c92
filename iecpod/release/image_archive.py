"""Images that users give as archives of their own (--image-archive), once they are in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.errors import Problem
from iecpod.model import Arch
from iecpod.outside_json import Json
from iecpod.release.image_reference import is_tagged
from iecpod.sha256 import is_sha256

_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """`image_id` (hex) is what container runtimes know it by: the digest of all that it is."""

    reference: str
    arch: Arch
    image_id: str

    def __post_init__(self) -> None:
        if not (is_tagged(self.reference) and is_sha256(self.image_id)):
            raise ValueError("this is no image of an archive")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArchive:
    """`digest` (hex) is that of the file as it was given; `path` is the directory in the cache that has its images."""

    digest: str
    path: Path
    images: tuple[ArchivedImage, ...]

    def file(self, arch: Arch) -> Path:
        """What container runtimes load: all images of that architecture."""
        return self.path / archive_file(arch)

    def references(self, arch: Arch) -> tuple[str, ...]:
        return tuple(image.reference for image in self.images if image.arch is arch)

    def __str__(self) -> str:
        return f"image archive {self.digest[:_SHOWN_DIGITS]}"


def archive_file(arch: Arch) -> str:
    return f"images-{arch.debian}.tar"


def check_archive_digest(text: str) -> str:
    """A digest as it is: it names a directory. Raises `ValueError`."""
    if not is_sha256(text):
        raise ValueError(f"{text!r} is not the digest of an archive of images")
    return text


def parse_archived_images(facts: Json) -> tuple[ArchivedImage, ...]:
    """Of what the cache keeps. Raises what `facts` refuses with, and `ValueError`."""
    return tuple(
        ArchivedImage(entry.text("reference"), Arch(entry.text("arch")), entry.text("image_id"))
        for entry in facts.entries("images")
    )


def images_recipe(archives: Iterable[ImageArchive], arch: Arch) -> dict[str, Any]:
    """What decides the content of archives for nodes of that architecture; empty where they have nothing for it.

    Names and ids of images: the same images packed otherwise are the same.
    """
    ids = sorted([image.reference, image.image_id] for archive in archives for image in _of(archive, arch))
    return {"image_archives": ids} if ids else {}


def _of(archive: ImageArchive, arch: Arch) -> Iterator[ArchivedImage]:
    return (image for image in archive.images if image.arch is arch)


def check_archives(archives: Iterable[ImageArchive], archs: Iterable[Arch]) -> Iterator[Problem]:
    """Whether archives have something for the nodes, and agree with each other."""
    wanted, given = list(archs), list(archives)
    for archive in given:
        found = sorted({image.arch.value for image in archive.images})
        for arch in wanted:
            if arch.value not in found:
                yield Problem(
                    message=f"{archive} has images for {' and '.join(found)}, and nodes are {arch.value}: "
                    f"{', '.join(sorted({image.reference for image in archive.images}))}",
                    remedy=f"pull them with `docker pull --platform linux/{arch.debian} IMAGE`, save them again, and "
                    "give that file with --image-archive",
                    rule="image-archive-arch",
                )
    yield from _check_agreement(given)


def _check_agreement(archives: Iterable[ImageArchive]) -> Iterator[Problem]:
    known: dict[tuple[str, Arch], tuple[str, ImageArchive]] = {}
    for archive in archives:
        for image in archive.images:
            image_id, first = known.setdefault((image.reference, image.arch), (image.image_id, archive))
            if image_id != image.image_id:
                yield Problem(
                    message=f"{image.reference} for {image.arch.value} is one image in {first}, another in {archive}",
                    remedy="leave one of the archives out, or save it without that image",
                    rule="image-archive-conflict",
                )
