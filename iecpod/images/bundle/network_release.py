"""What makes a node of a release that installs from the network, gathered beforehand: packages and images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from iecpod.cache.artifacts import Cache
from iecpod.cache.hashed_files import place_file
from iecpod.errors import ImageError
from iecpod.images.build.debian_packages import PackageSources
from iecpod.images.confinement.program import FOR_A_QUESTION, of_this_host
from iecpod.images.confinement.tool import run_tool
from iecpod.images.confinement.untrusted_tree import Beneath, Links
from iecpod.images.fetch.container_registry import Registries
from iecpod.images.fetch.manifests import load_manifest
from iecpod.images.fetch.pulled_images import PulledImage, pull_image
from iecpod.model import Arch
from iecpod.release.image_reference import digest_of, full_reference, without_digest
from iecpod.release.release import Release
from iecpod.render.kubeadm import render_images_config
from iecpod.render.manifest_patch import image_names

_LIST_IMAGES = 'exec "$1" config images list --config "$2" > "$3"'
_MOST_CHARACTERS = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedSources:
    """`registry_mirrors` are URLs by registry, `apt_mirror` that of the distribution's archive; empty is upstream."""

    cache: Cache
    release: Release
    apt_mirror: str
    registry_mirrors: Mapping[str, str]

    def gather(self, arch: Arch, directory: Path) -> tuple[PulledImage, ...]:
        """Fills `debs/` and `images/` of `directory`; images of archives are not pulled.

        Raises `ImageError`, `UsageError`.
        """
        packages = PackageSources(self.cache, self.release, self.apt_mirror)
        packages.gather(arch, directory / "debs")
        registries = Registries(self.registry_mirrors)
        images = []
        given = {name for archive in self.release.image_archives for name in archive.references(arch)}
        names = each_once(map(full_reference, self._image_names(packages, arch, directory / "debs")))
        for reference in (name for name in names if without_digest(name) not in given):
            image = pull_image(self.cache, registries, reference, arch)
            place_file(image.archive, directory / image_file(image.reference))
            images.append(image)
        return tuple(images)

    def _image_names(self, packages: PackageSources, arch: Arch, debs: Path) -> Iterator[str]:
        release = self.release
        with self.cache.staging("kubeadm") as work:
            listed = self._ask_kubeadm(packages.unpack_kubeadm(arch, debs, work), work)
        yield from (
            name for name in listed if release.coredns or PurePosixPath(name).name.partition(":")[0] != "coredns"
        )
        yield release.pause_image
        yield release.nginx_image
        if release.kube_router_image:
            yield release.kube_router_image
        yield from release.extra_images
        pinned = [manifest for manifest in release.manifests if manifest.is_pinned]
        texts = [load_manifest(manifest, self.cache.root, self.cache.reporter) for manifest in pinned]
        yield from image_names(texts, release.image_names(arch))

    def _ask_kubeadm(self, kubeadm: Path, work: Path) -> list[str]:
        """A program of the release's repository is not one of this host's: it is given its configuration alone."""
        version = self.release.kubernetes_version
        config, answers = work / "config.yaml", work / "answers"
        config.write_text(render_images_config(self.release))
        answers.mkdir()
        run_tool(
            ["sh", "-c", _LIST_IMAGES, "list", str(kubeadm), str(config), str(answers / "images")],
            purpose=f"asking kubeadm {version} for its images",
            log_path=self.cache.log_path("kubeadm-images"),
            confined=of_this_host(
                limits=FOR_A_QUESTION, readable=[kubeadm, config], writable=[answers], capabilities=()
            ),
        )
        with Beneath.of(answers, Links.NONE) as given, os.fdopen(given.open_file("images")) as file:
            return file.read(_MOST_CHARACTERS).split()


def each_once(references: Iterable[str]) -> tuple[str, ...]:
    """Every image once, by its digest where one of those who name it knows it. Raises `ImageError` for two digests."""
    chosen: dict[str, str] = {}
    for reference in references:
        before = chosen.setdefault(without_digest(reference), reference)
        if digest_of(before) and digest_of(reference) not in ("", digest_of(before)):
            raise ImageError(f"the release names both {before} and {reference}", "correct the release or its manifest")
        if digest_of(reference):
            chosen[without_digest(reference)] = reference
    return tuple(chosen.values())


def image_file(reference: str) -> str:
    return f"images/{reference.replace('/', '_').replace(':', '_')}.tar"
