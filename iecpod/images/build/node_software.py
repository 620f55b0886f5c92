"""What makes a node of a release whose software is compiled: `debs/`, `bin/` for programs, `images/` for containers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from iecpod.cache.artifacts import Artifact, Cache
from iecpod.cache.hashed_files import place_file
from iecpod.errors import IecpodError, ImageError
from iecpod.images.archives.docker_archive import ContainerImage, write_archive
from iecpod.images.build.apt import AptRoot
from iecpod.images.build.debian_kubernetes import kubernetes_recipe
from iecpod.images.build.debian_software import compile_debian_release
from iecpod.images.build.go.go_software import compile_go_release, go_recipe
from iecpod.images.build.rootfs import ensure_layer, ensure_rootfs, image_archives, layer_recipe
from iecpod.model import Arch
from iecpod.release.image_archive import ImageArchive, images_recipe
from iecpod.release.release import BundleSource, Release

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


def software_recipe(release: Release, arch: Arch) -> dict[str, Any]:
    """What decides it; the same in every run and on every host."""
    source = _source(release)
    image = release.image
    return {
        "version": 1,
        **_compiled_recipe(release, source, arch),
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
        arguments = (cache, release, source, arch, apt_mirror)
        threading.Thread(target=_prepare_trees, args=arguments, daemon=True).start()
        compiled = _compile(cache, release, source, arch, apt_mirror)
        for program in compiled.node_programs():
            place_file(program, directory / "bin" / program.name)
        rootfs = ensure_rootfs(cache, release.image, arch, apt_mirror)
        _fetch_debs(cache, release, source, arch, apt_mirror, rootfs, directory / "debs")
        layer = ensure_layer(cache, release.image, source.image_packages, arch, apt_mirror)
        with cache.staging("layers") as work:
            images = tuple(compiled.container_images(layer.path / "layer.tar", work))
            write_archive(directory / _IMAGES, images, arch)
        return {"images": [image.reference for image in images], **compiled.facts()}

    doing = f"making the software of {release.name} for {arch.debian}"
    made = cache.ensure("software", software_recipe(release, arch), make, doing)
    return Software(made.path, tuple(str(reference) for reference in made.facts["images"]))


def _prepare_trees(cache: Cache, release: Release, source: BundleSource, arch: Arch, apt_mirror: str) -> None:
    """Makes what needs no compiled program beside the compiler, which leaves processors idle while it links.

    What fails here is tried again where it is needed. That may be minutes later, so it is said at once.
    """
    try:
        ensure_rootfs(cache, release.image, arch, apt_mirror)
        ensure_layer(cache, release.image, source.image_packages, arch, apt_mirror)
    except (IecpodError, OSError) as error:
        cause = error.cause if isinstance(error, IecpodError) else str(error)
        cache.reporter.warn(f"{cause}; it is tried again when all programs are compiled")


class _Compiled(Protocol):
    """What was compiled for a release."""

    def node_programs(self) -> Iterator[Path]:
        """Those that nodes run from their own file system."""

    def container_images(self, layer: Path, work: Path) -> Iterator[ContainerImage]:
        """`layer` holds the release's `image_packages`; `work` is an empty directory for further layers."""

    def facts(self) -> Mapping[str, Any]: ...


def _compiled_recipe(release: Release, source: BundleSource, arch: Arch) -> dict[str, Any]:
    if source.go is not None:
        return {"go": go_recipe(release, source.go, arch)}
    assert source.kubernetes is not None, "the schema requires one of both"
    return {"kubernetes": kubernetes_recipe(source.kubernetes, release.kubernetes_version, arch)}


def _compile(cache: Cache, release: Release, source: BundleSource, arch: Arch, apt_mirror: str) -> _Compiled:
    if source.go is not None:
        return compile_go_release(cache, release, source.go, arch, apt_mirror)
    assert source.kubernetes is not None, "the schema requires one of both"
    return compile_debian_release(cache, release, source.kubernetes, arch, apt_mirror)


def find_software(cache: Cache, release: Release, arch: Arch, apt_mirror: str) -> Software:
    """What nodes are given: of the bundle that the release comes from, else as by `ensure_software`; and with it the
    images of the release's `image_archives`. Raises `ImageError`, also for a name that both have.
    """
    if release.provided is not None:
        software = Software(release.provided.path, release.provided.manifest.references)
    else:
        software = ensure_software(cache, release, arch, apt_mirror)
    archives = [archive for archive in release.image_archives if archive.references(arch)]
    return _with_archives(cache, release, software, archives, arch) if archives else software


def given_recipe(release: Release, arch: Arch) -> dict[str, Any]:
    """What decides what `find_software` gives."""
    if release.provided is not None:
        given: dict[str, Any] = {"provided": release.provided.digest}
    else:
        given = software_recipe(release, arch)
    return {**given, **images_recipe(release.image_archives, arch)}


def _with_archives(
    cache: Cache, release: Release, software: Software, archives: Sequence[ImageArchive], arch: Arch
) -> Software:
    """One directory of links to both, since what installs it in nodes and images knows one."""
    references = tuple(dict.fromkeys(name for archive in archives for name in archive.references(arch)))
    twice = sorted({*references} & {*software.references})
    if twice:
        raise ImageError(
            f"an archive of images has what nodes are given already: {', '.join(twice)}",
            "save the archive again without them",
        )

    def make(directory: Path) -> Mapping[str, Any]:
        for path in (*software.debs, *software.programs, *software.images):
            place_file(path, directory / path.parent.name / path.name)
        for archive in archives:
            place_file(archive.file(arch), directory / f"images/{archive.digest}.tar")
        return {}

    doing = f"putting the archives of images beside the software of {release.name}"
    recipe = {**given_recipe(release, arch), "archives": [archive.digest for archive in archives], "arch": arch.value}
    made = cache.ensure("software", recipe, make, doing)
    return Software(made.path, (*software.references, *references))


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
