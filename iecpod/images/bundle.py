"""The offline bundle of a release: all that a cluster needs on nodes that reach no network.

A directory: `debs/` for the guest, `bin/` for its programs, `images/images.tar` for its container runtime, and
`manifest.json` with size and digest of every file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.design.release import BundleSource, Release
from iecpod.errors import ImageError, UsageError
from iecpod.images.apt import AptRoot
from iecpod.images.archive import ContainerImage, write_archive, write_layer
from iecpod.images.cache import Artifact, Cache, find_damage
from iecpod.images.kubernetes import IMAGE_PROGRAMS, NODE_PROGRAMS, ensure_kubernetes, kubernetes_recipe
from iecpod.images.rootfs import ensure_layer, ensure_rootfs, image_archives, layer_recipe
from iecpod.model import Arch
from iecpod.ports import Reporter

_IMAGES = "images/images.tar"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A finished bundle in the cache; `key` is the digest of what it was made from."""

    path: Path
    key: str
    artifact: Artifact

    @property
    def debs(self) -> tuple[Path, ...]:
        return tuple(sorted((self.path / "debs").glob("*.deb")))

    @property
    def programs(self) -> tuple[Path, ...]:
        return tuple(sorted((self.path / "bin").iterdir()))

    @property
    def images(self) -> Path:
        return self.path / _IMAGES

    def verify(self) -> None:
        """Reads every file. Raises `ImageError` that names those that are not what the manifest says."""
        damaged = find_damage(self.artifact, thorough=True)
        if damaged:
            raise ImageError(
                f"{self.path}: damaged or missing: {', '.join(damaged)}",
                "run `bundle build` again: what is damaged is made again",
            )


def bundle_recipe(release: Release, arch: Arch) -> dict[str, Any]:
    """What decides the content of a bundle; the same in every run and on every host."""
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


def build_bundle(release: Release, arch: Arch, cache_dir: Path, apt_mirror: str, reporter: Reporter) -> Bundle:
    """The bundle of a release, from the cache or made. Raises `ImageError`; `UsageError` where the release has none."""
    source = _source(release)
    cache = Cache(cache_dir, reporter)

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

    doing = f"building the bundle of {release.name} for {arch.debian}"
    artifact = cache.ensure("bundles", bundle_recipe(release, arch), make, doing)
    return Bundle(artifact.path, artifact.key, artifact)


def _source(release: Release) -> BundleSource:
    if release.bundle is None:
        raise UsageError(
            f"release {release.name} has no bundle: its nodes install from the network",
            "choose a release with a `bundle`, such as debian12",
        )
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
