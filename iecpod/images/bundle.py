"""The offline bundle of a release: one directory with all that a POD of it takes, and a manifest of every file.

An artifact of the cache; `docs/bundles.md` has its layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iecpod.design.bundle_manifest import BUNDLE_VERSION, DIRECTORIES, BundledBase, BundledImage
from iecpod.design.bundled_release import manifest_file
from iecpod.design.release import ImageSourceType, Manifest, Release
from iecpod.images.archive import read_image_ids
from iecpod.images.cache import Artifact, Cache
from iecpod.images.connected import ConnectedSources, image_file
from iecpod.images.files import place_file
from iecpod.images.helm import fetch_helm
from iecpod.images.manifests import load_manifest
from iecpod.images.release_images import ReleaseImages
from iecpod.images.rootfs import ensure_rootfs
from iecpod.images.software import ensure_software, software_recipe
from iecpod.model import Arch


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
    def _manifests(self) -> tuple[Manifest, ...]:
        """Without those that nobody vouches for: a POD that needs them is refused with the bundle as without."""
        return tuple(manifest for manifest in self.release.manifests if manifest.is_pinned)

    def _recipe(self) -> dict[str, Any]:
        """What decides the content. Mirrors are not of it: they hold the same."""
        return {
            "version": BUNDLE_VERSION,
            "release": dict(self.data),
            "arch": self.arch.value,
            "base": self._images.key(self.arch),
            "software": software_recipe(self.release, self.arch) if self.release.bundle else {},
            "repositories": [repository.uri for repository in self.release.repositories],
            "manifests": [_digest_of_file(manifest.file) or manifest.sha256 for manifest in self._manifests],
        }

    def _make(self, directory: Path) -> Mapping[str, Any]:
        for name in DIRECTORIES:
            (directory / name).mkdir()
        base = self._put_base(directory)
        images = self._put_software(directory) if self.release.bundle else self._put_connected(directory)
        for manifest in self._manifests:
            text = load_manifest(manifest, self.cache.root, self.cache.reporter)
            (directory / manifest_file(manifest)).write_bytes(text.content)
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
        software = ensure_software(self.cache, self.release, self.arch, self.apt_mirror)
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
        return list(_images_in(archives, digests))


def _images_in(archives: Iterable[Path], digests: Mapping[str, str] | None = None) -> Iterator[BundledImage]:
    for archive in archives:
        for reference, image_id in read_image_ids(archive).items():
            yield BundledImage(reference, f"images/{archive.name}", image_id, (digests or {}).get(reference, ""))


def _digest_of_file(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
