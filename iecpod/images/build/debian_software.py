"""Kubernetes of a Debian source package, with etcd, nginx and a container runtime of Debian's packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Artifact, Cache
from iecpod.images.archives.docker_archive import ContainerImage, write_layer
from iecpod.images.build.debian_kubernetes import IMAGE_PROGRAMS, NODE_PROGRAMS, ensure_kubernetes
from iecpod.model import Arch
from iecpod.release.release import KubernetesSource, Release


def compile_debian_release(
    cache: Cache, release: Release, source: KubernetesSource, arch: Arch, apt_mirror: str
) -> DebianSoftware:
    """Raises `ImageError`."""
    kubernetes = ensure_kubernetes(cache, release.image, source, release.kubernetes_version, arch, apt_mirror)
    return DebianSoftware(release, arch, kubernetes)


@dataclass(frozen=True, slots=True)
class DebianSoftware:
    release: Release
    arch: Arch
    kubernetes: Artifact

    def facts(self) -> Mapping[str, Any]:
        return self.kubernetes.facts

    def node_programs(self) -> Iterator[Path]:
        yield from (self.kubernetes.path / program for program in NODE_PROGRAMS)

    def container_images(self, layer: Path, work: Path) -> Iterator[ContainerImage]:
        repository, tag = self.release.image_repository, f"v{self.release.kubernetes_version}"
        for program in IMAGE_PROGRAMS:
            tar = work / f"{program}.tar"
            write_layer(tar, [self.kubernetes.path / program], "usr/local/bin")
            layers = (layer, tar) if program == "kube-proxy" else (tar,)
            yield ContainerImage(reference=f"{repository}/{program}:{tag}", layers=layers)
        # etcd refuses to start where upstream does not test it, without this variable.
        environment = ("ETCD_UNSUPPORTED_ARCH=arm64",) if self.arch is Arch.AARCH64 else ()
        yield ContainerImage(
            reference=f"{repository}/etcd:{self.release.etcd_version}", layers=(layer,), environment=environment
        )
        nginx = ("nginx", "-g", "daemon off;")
        yield ContainerImage(reference=self.release.nginx_image, layers=(layer,), command=nginx)
        pause = work / "pause.tar"
        write_layer(pause, [self.kubernetes.path / "pause"], "usr/local/bin")
        yield ContainerImage(reference=self.release.pause_image, layers=(pause,), command=("/usr/local/bin/pause",))
