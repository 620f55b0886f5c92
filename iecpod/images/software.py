"""What makes a node of a release whose software is compiled: `debs/`, `bin/` for programs, `images/` for containers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.design.bundle_manifest import read_bundle_manifest
from iecpod.design.release import BundleSource, ProvidedBundle, Release
from iecpod.images.apt import AptRoot
from iecpod.images.archive import ContainerImage, write_archive, write_layer
from iecpod.images.cache import Artifact, Cache
from iecpod.images.kubernetes import IMAGE_PROGRAMS, NODE_PROGRAMS, ensure_kubernetes, kubernetes_recipe
from iecpod.images.rootfs import ensure_layer, ensure_rootfs, image_archives, layer_recipe
from iecpod.model import Arch

_IMAGES = "images/images.tar"


@dataclass(frozen=True, slots=True)
class Software:
    """A directory with `debs/`, `bin/` and `images/`; `references` are the images that are in there."""

    path: Path
    references: tuple[str, ...]

    @property
    def debs(self) -> tuple[Path, ...]:
        """Packages, with their index where they are a repository."""
        return self._in("debs")

    @property
    def programs(self) -> tuple[Path, ...]:
        return self._in("bin")

    @property
    def images(self) -> tuple[Path, ...]:
        return self._in("images")

    def _in(self, directory: str) -> tuple[Path, ...]:
        return tuple(sorted((self.path / directory).glob("*")))


def provided_helm(provided: ProvidedBundle) -> tuple[Path, ...]:
    return tuple(sorted((provided.path / "helm").iterdir()))


def software_recipe(release: Release, arch: Arch) -> dict[str, Any]:
    """What decides it; the same in every run and on every host."""
    source = _source(release)
    image = release.image
    return {
        "version": 1,
        "kubernetes": kubernetes_recipe(source.kubernetes, release.kubernetes_version, arch),
        "layer": layer_recipe(image, source.image_packages, arch),
        "guest": [image.suite, image.mirror, image.security_mirror, *image.packages],
        "packages": list(source.packages),
        "references": [release.image_repository, release.etcd_version, release.pause_image, release.nginx_image],
    }


def ensure_software(cache: Cache, release: Release, arch: Arch, apt_mirror: str) -> Software:
    """From the cache, or made. Raises `ImageError`."""
    source = _source(release)

    def make(directory: Path) -> Mapping[str, Any]:
        for name in ("debs", "bin", "images"):
            (directory / name).mkdir()
        kubernetes = ensure_kubernetes(
            cache, release.image, source.kubernetes, release.kubernetes_version, arch, apt_mirror
        )
        for program in NODE_PROGRAMS:
            shutil.copy(kubernetes.path / program, directory / "bin" / program)
        rootfs = ensure_rootfs(cache, release.image, arch, apt_mirror)
        _fetch_debs(cache, release, source, arch, apt_mirror, rootfs, directory / "debs")
        layer = ensure_layer(cache, release.image, source.image_packages, arch, apt_mirror)
        with cache.staging("layers") as work:
            images = tuple(_make_images(release, arch, kubernetes, layer, work))
            write_archive(directory / _IMAGES, images, arch)
        return {"images": [image.reference for image in images], **kubernetes.facts}

    doing = f"making the software of {release.name} for {arch.debian}"
    made = cache.ensure("software", software_recipe(release, arch), make, doing)
    return Software(made.path, tuple(str(reference) for reference in made.facts["images"]))


def find_software(cache: Cache, release: Release, arch: Arch, apt_mirror: str) -> Software:
    """What nodes are given: of the bundle that the release comes from, else as by `ensure_software`."""
    if release.provided is not None:
        return Software(release.provided.path, read_bundle_manifest(release.provided.path).references)
    return ensure_software(cache, release, arch, apt_mirror)


def _source(release: Release) -> BundleSource:
    assert release.bundle is not None, "nodes of another release install from the network"
    return release.bundle


def _fetch_debs(
    cache: Cache,
    release: Release,
    source: BundleSource,
    arch: Arch,
    apt_mirror: str,
    rootfs: Artifact,
    directory: Path,
) -> None:
    """Exactly the packages that the guest's tree does not have yet: apt is shown the tree's own dpkg status."""
    with cache.staging("debs") as work:
        apt = AptRoot(work / "apt", arch.debian, cache.log_path(f"debs-{release.name}-{arch.debian}"))
        status = (rootfs.path / "status").read_bytes()
        apt.prepare(image_archives(release.image, apt_mirror), "deb", dpkg_status=status)
        for package in apt.download_missing(source.packages):
            package.rename(directory / package.name)


def _make_images(
    release: Release, arch: Arch, kubernetes: Artifact, layer: Artifact, work: Path
) -> Iterator[ContainerImage]:
    debian = layer.path / "layer.tar"
    tag = f"v{release.kubernetes_version}"
    for program in IMAGE_PROGRAMS:
        tar = work / f"{program}.tar"
        write_layer(tar, [kubernetes.path / program], "usr/local/bin")
        layers = (debian, tar) if program == "kube-proxy" else (tar,)
        yield ContainerImage(reference=f"{release.image_repository}/{program}:{tag}", layers=layers)
    # etcd refuses to start where upstream does not test it, unless it is told that we know.
    etcd_environment = ("ETCD_UNSUPPORTED_ARCH=arm64",) if arch is Arch.AARCH64 else ()
    yield ContainerImage(
        reference=f"{release.image_repository}/etcd:{release.etcd_version}",
        layers=(debian,),
        environment=etcd_environment,
    )
    yield ContainerImage(reference=release.nginx_image, layers=(debian,), command=("nginx", "-g", "daemon off;"))
    write_layer(work / "pause.tar", [kubernetes.path / "pause"], "usr/local/bin")
    yield ContainerImage(reference=release.pause_image, layers=(work / "pause.tar",), command=("/usr/local/bin/pause",))
