"""The offline bundle of a release: one directory with all that a POD of it takes, and a manifest of every file.

An artifact of the cache; `docs/bundles.md` has its layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Artifact, Cache
from iecpod.cache.hashed_files import place_file
from iecpod.design.manifest_text import ManifestText
from iecpod.images.archives.docker_archive import read_image_ids
from iecpod.images.build.node_software import find_software, software_recipe
from iecpod.images.build.release_images import ReleaseImages
from iecpod.images.build.rootfs import ensure_rootfs
from iecpod.images.bundle.network_release import ConnectedSources, image_file
from iecpod.images.fetch.helm import fetch_helm
from iecpod.images.fetch.manifests import load_manifest
from iecpod.model import Arch
from iecpod.release.bundle_manifest import BUNDLE_VERSION, DIRECTORIES, BundledBase, BundledImage
from iecpod.release.bundled import manifest_file
from iecpod.release.image_archive import images_recipe
from iecpod.release.image_reference import full_reference, without_digest
from iecpod.release.release import ImageSourceType, Manifest, Release
from iecpod.render.manifest_patch import image_names


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleBuild:
    """A bundle to be built: `data` is the release as its file says it, `release` the same with mirrors put in."""

    cache: Cache
    release: Release
    data: Mapping[str, Any]
    arch: Arch
    apt_mirror: str
    registry_mirrors: Mapping[str, str]

    def ensure(self) -> Artifact:
        """From the cache, or built. Raises `ImageError`; `UsageError` where the release does not say where to look."""
        doing = f"building the bundle of {self.release.name} for {self.arch.debian}"
        return self.cache.ensure("bundles", self._recipe(), self._make, doing)

    @property
    def _images(self) -> ReleaseImages:
        return ReleaseImages(self.release, self.cache.root, self.apt_mirror, self.cache.reporter, baked=False)

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Without those that cannot be verified: a POD that needs them is refused with the bundle as without.

        Where images are made here, manifests are of use to those alone who have archives of their images: they give
        the file, and no other host has to reach its address.
        """
        is_fetched = self.release.bundle is None
        return tuple(
            manifest for manifest in self.release.manifests if manifest.file or (manifest.is_pinned and is_fetched)
        )

    def _recipe(self) -> dict[str, Any]:
        """What decides the content. Mirrors are not of it: they hold the same."""
        return {
            "version": BUNDLE_VERSION,
            "release": dict(self.data),
            "arch": self.arch.value,
            "base": self._images.key(self.arch),
            "software": software_recipe(self.release, self.arch) if self.release.bundle else {},
            "repositories": [repository.uri for repository in self.release.repositories],
            "manifests": [_digest_of_file(manifest.file) or manifest.sha256 for manifest in self.manifests],
            **images_recipe(self.release.image_archives, self.arch),
        }

    def _make(self, directory: Path) -> Mapping[str, Any]:
        for name in DIRECTORIES:
            (directory / name).mkdir()
        base = self._put_base(directory)
        images = self._put_software(directory) if self.release.bundle else self._put_connected(directory)
        texts = []
        for manifest in self.manifests:
            texts.append(load_manifest(manifest, self.cache.root, self.cache.reporter))
            (directory / manifest_file(manifest)).write_bytes(texts[-1].content)
        self._report_missing(texts, images)
        if self.release.helm is not None:
            for program in fetch_helm(self.release.helm, self.arch, self.cache.root, self.cache.reporter):
                place_file(program, directory / "helm" / program.name)
        return {
            "bundle_version": BUNDLE_VERSION,
            "release": dict(self.data),
            "arch": self.arch.value,
            "base": asdict(base),
            "images": [asdict(image) for image in images],
        }

    def _report_missing(self, manifests: Sequence[ManifestText], images: Sequence[BundledImage]) -> None:
        """Of manifests whose images were not pulled."""
        there = {image.reference for image in images}
        for name in image_names(manifests, self.release.image_names(self.arch)):
            if without_digest(full_reference(name)) not in there:
                self.cache.reporter.warn(
                    f"the bundle has a manifest with the image {name}, and not the image: `docker save` it, and add it "
                    "with --image-archive, here or for the deploy"
                )

    def _put_base(self, directory: Path) -> BundledBase:
        """A disk as it was fetched; of an image that is made, its tree: what is baked is made of that, too."""
        if self.release.image.type is ImageSourceType.MMDEBSTRAP:
            tree = ensure_rootfs(self.cache, self.release.image, self.arch, self.apt_mirror).path / "rootfs.tar"
            place_file(tree, directory / "base/rootfs.tar")
            return BundledBase("base/rootfs.tar", "", 0)
        image = self._images.ensure(self.arch)
        file = f"base/image.{image.format}"
        place_file(image.path, directory / file)
        return BundledBase(file, image.format, image.virtual_size_bytes)

    def _put_software(self, directory: Path) -> list[BundledImage]:
        software = find_software(self.cache, self.release, self.arch, self.apt_mirror)
        for path in (*software.debs, *software.programs, *software.images):
            place_file(path, directory / path.parent.name / path.name)
        return list(_images_in(software.images))

    def _put_connected(self, directory: Path) -> list[BundledImage]:
        sources = ConnectedSources(
            cache=self.cache,
            release=self.release,
            apt_mirror=self.apt_mirror,
            registry_mirrors=self.registry_mirrors,
        )
        pulled = sources.gather(self.arch, directory)
        digests = {image.reference: image.digest for image in pulled}
        archives = [directory / image_file(image.reference) for image in pulled]
        for archive in self.release.image_archives:
            archives.append(directory / f"images/{archive.digest}.tar")
            place_file(archive.file(self.arch), archives[-1])
        return list(_images_in(archives, digests))


def _images_in(archives: Iterable[Path], digests: Mapping[str, str] | None = None) -> Iterator[BundledImage]:
    for archive in archives:
        for reference, image_id in read_image_ids(archive).items():
            yield BundledImage(reference, f"images/{archive.name}", image_id, (digests or {}).get(reference, ""))


def _digest_of_file(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
