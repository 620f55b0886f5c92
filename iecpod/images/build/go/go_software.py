"""Kubernetes, its container runtime and its pod network, compiled from Go modules: programs of nodes, and images.

One binary holds all programs of Kubernetes. Nodes and images have the same file, and a node keeps it once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Artifact, Cache
from iecpod.errors import IecpodError, ImageError
from iecpod.images.archives.docker_archive import ContainerImage, write_layer
from iecpod.images.build.busybox import busybox_recipe, ensure_busybox
from iecpod.images.build.c_toolchain import CToolchain
from iecpod.images.build.conformance_images import CONFORMANCE_IMAGES_VERSION, ConformanceImages
from iecpod.images.build.go.build import PROGRAMS, GoBuild, compile_recipe
from iecpod.images.build.go.modules import module_digest, module_version
from iecpod.images.build.go.toolchain import ensure_go
from iecpod.model import Arch
from iecpod.release.go_source import GoModule, GoSource
from iecpod.release.release import Release

#: Modules whose programs are in images and in no node's own file system.
_IN_IMAGES_ONLY = ("etcd", "coredns", "kube-router", "pause", "e2e")

#: Programs of Kubernetes that run in images of their own; all but kube-proxy need nothing beside them.
_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")

#: A change of what is in the images.
_IMAGES_VERSION = 1

_DIRECTORY = "usr/local/bin"
_VENDOR = "iecpod"
_VENDOR_LABEL = "org.opencontainers.image.vendor"


def go_recipe(release: Release, source: GoSource, arch: Arch) -> list[dict[str, Any]]:
    """What decides all programs and images, without compiling any."""
    programs = [
        {**compile_recipe(module, source.toolchain, release.image, arch), "images": _IMAGES_VERSION}
        for module in source.modules
    ]
    if not source.test_images:
        return programs
    tests = {
        "version": CONFORMANCE_IMAGES_VERSION,
        "tags": {name: list(tags) for name, tags in source.test_images.items()},
        "busybox": busybox_recipe(release.image, arch),
    }
    return [*programs, {"test_images": tests}]


def compile_go_release(cache: Cache, release: Release, source: GoSource, arch: Arch, apt_mirror: str) -> GoSoftware:
    """Compiles what the cache lacks. Raises `ImageError`."""
    version = module_version(source.module("kubernetes"))
    if version != release.kubernetes_version:
        raise ImageError(
            f"release {release.name} is of Kubernetes {release.kubernetes_version}, and its module of {version}",
            "give kubernetes_version the version of releases/modules/kubernetes/go.mod",
        )
    build = start_build(cache, release, source, apt_mirror)
    later = [module for module in source.modules[1:] if not build.is_compiled(module, arch)]
    threading.Thread(target=build.prefetch, args=(later, arch), daemon=True).start()
    programs = build.ensure_all(source.modules, arch)
    threading.Thread(target=_finish, args=(build,)).start()
    if not source.test_images:
        return GoSoftware(release, source, programs)
    test_images = ConformanceImages(
        repository=release.image_repository,
        tags=source.test_images,
        agnhost=programs["e2e"].path / "agnhost",
        busybox=ensure_busybox(cache, release.image, arch, apt_mirror),
        suite=release.image.suite,
        labels=_labels(source.module("e2e"), programs["e2e"]),
        vendor={_VENDOR_LABEL: _VENDOR},
    )
    return GoSoftware(release, source, programs, test_images)


def _finish(build: GoBuild) -> None:
    """Removes a hundred thousand files beside what comes next; the process waits for it. `gc` removes what stays."""
    with contextlib.suppress(IecpodError, OSError):
        build.finish()


def start_build(cache: Cache, release: Release, source: GoSource, apt_mirror: str = "") -> GoBuild:
    """With the compiler fetched where this host has none. Raises `ImageError`."""
    return GoBuild(
        cache=cache,
        toolchain=source.toolchain,
        go_root=ensure_go(cache, source.toolchain),
        c_toolchain=CToolchain(cache, release.image, apt_mirror),
    )


@dataclass(frozen=True, slots=True)
class GoSoftware:
    """`programs` are the compiled modules by name."""

    release: Release
    source: GoSource
    programs: Mapping[str, Artifact]
    test_images: ConformanceImages | None = None

    def facts(self) -> Mapping[str, Any]:
        return {"versions": {module.name: module_version(module) for module in self.source.modules}}

    def node_programs(self) -> Iterator[Path]:
        for module in self.source.modules:
            if module.name not in _IN_IMAGES_ONLY:
                yield from (self._program(module.name, program) for program in module.programs)

    def container_images(self, layer: Path, work: Path) -> Iterator[ContainerImage]:
        repository, tag = self.release.image_repository, f"v{self.release.kubernetes_version}"
        kubernetes = self._layer("kubernetes", "kubernetes", work)
        for program in (*_CONTROL_PLANE, "kube-proxy"):
            layers = (layer, kubernetes) if program == "kube-proxy" else (kubernetes,)
            yield self._image(f"{repository}/{program}:{tag}", "kubernetes", layers)
        etcd = self._layer("etcd", "etcd", work)
        yield self._image(f"{repository}/etcd:{self.release.etcd_version}", "etcd", (etcd,))
        coredns = self._layer("coredns", "coredns", work)
        yield self._image(
            f"{repository}/coredns:v{module_version(self.source.module('coredns'))}",
            "coredns",
            (coredns,),
            entrypoint=(f"/{_DIRECTORY}/coredns",),
        )
        router = self._layer("kube-router", "kube-router", work)
        yield self._image(
            f"{repository}/kube-router:v{module_version(self.source.module('kube-router'))}",
            "kube-router",
            (layer, router),
            entrypoint=(f"/{_DIRECTORY}/kube-router",),
        )
        pause = self._layer("pause", "pause", work)
        yield self._image(self.release.pause_image, "pause", (pause,), entrypoint=(f"/{_DIRECTORY}/pause",))
        yield ContainerImage(
            reference=self.release.nginx_image,
            layers=(layer,),
            command=("nginx", "-g", "daemon off;"),
            labels={_VENDOR_LABEL: _VENDOR, "org.opencontainers.image.title": "nginx of Debian"},
        )
        if self.test_images is not None:
            yield from self.test_images.images(layer, work)

    def _program(self, module: str, program: str) -> Path:
        return self.programs[module].path / program

    def _layer(self, module: str, program: str, work: Path) -> Path:
        tar = work / f"{program}.tar"
        links = dict.fromkeys(self.source.module(module).names.get(program, ()), program)
        write_layer(tar, [self._program(module, program)], _DIRECTORY, links)
        return tar

    def _image(
        self, reference: str, name: str, layers: tuple[Path, ...], entrypoint: tuple[str, ...] = ()
    ) -> ContainerImage:
        module = self.source.module(name)
        return ContainerImage(
            reference=reference, layers=layers, entrypoint=entrypoint, labels=_labels(module, self.programs[name])
        )


def _labels(module: GoModule, programs: Artifact) -> dict[str, str]:
    """Whose build it is, and of what: no image of ours passes for upstream's."""
    version, digest = module_version(module), module_digest(module)
    labels = {
        _VENDOR_LABEL: _VENDOR,
        "org.opencontainers.image.source": module.source,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": digest,
        "org.akraino.iecpod.programs": programs.key,
    }
    return {name: value for name, value in labels.items() if value}


def find_kubernetes(cache: Cache, release: Release) -> Path | None:
    """Kubernetes' binary of that release for this host, if it was compiled here; none of a bundle is run."""
    source = release.go
    if source is None:
        return None
    recipe = compile_recipe(source.module("kubernetes"), source.toolchain, release.image, Arch.of_this_machine())
    binary = cache.place(PROGRAMS, recipe) / "kubernetes"
    return binary if binary.exists() else None
