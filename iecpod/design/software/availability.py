"""Whether what a release names can be fetched: the part of the preflight that looks at software alone."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from iecpod.design.cluster import DesiredCluster
from iecpod.errors import Problem
from iecpod.release.image_reference import DOCKER_HUB
from iecpod.release.mirrors import Supply
from iecpod.release.release import Release


def check_release(cluster: DesiredCluster, supply: Supply) -> list[Problem]:
    """Every reason why the cluster's software could not be installed."""
    release = cluster.release
    return [
        *_check_repositories(release),
        *_check_manifests(cluster),
        *_check_mirrors(release, supply),
    ]


def _check_repositories(release: Release) -> Iterator[Problem]:
    for repository in release.repositories:
        if repository.withdrawn:
            yield Problem(
                message=f"release {release.name} installs from {repository.uri}, {repository.withdrawn}",
                remedy=f"give a mirror with --repository {repository.name}=URL (and --repository-key "
                f"{repository.name}=FILE if it is signed by another key), or choose another --release",
                rule="repository-withdrawn",
            )


def _check_manifests(cluster: DesiredCluster) -> Iterator[Problem]:
    release = cluster.release
    for manifest in cluster.cni.manifests(release):
        if release.provided is not None and not manifest.file:
            yield Problem(
                message=f"the bundle has no manifest {manifest.name}, which {cluster.cni.name} is made of",
                remedy=f"give it with --manifest {manifest.name}=FILE, or build a bundle with it",
                rule="manifest-missing",
            )
        elif not manifest.is_pinned:
            yield Problem(
                message=f"release {release.name} has no digest for its manifest {manifest.name} ({manifest.url})",
                remedy=f"give a file that you trust with --manifest {manifest.name}=FILE, or write its sha256 into a "
                f"copy of the release (`iecpod releases show {release.name}`)",
                rule="manifest-not-pinned",
            )


def _check_mirrors(release: Release, supply: Supply) -> Iterator[Problem]:
    for registry, url in supply.registry_mirrors.items() if release.runtime == "docker" else ():
        if registry != DOCKER_HUB:
            yield Problem(
                message=f"docker, the runtime of release {release.name}, can ask mirrors of {DOCKER_HUB} only, not of "
                f"{registry}",
                remedy="name the images by your registry in a copy of the release (image_repository), or leave "
                f"--registry-mirror {registry} out",
                rule="registry-mirror-unused",
            )
        elif urlsplit(url).path.strip("/"):
            yield Problem(
                message=f"docker, the runtime of release {release.name}, takes no mirror with a path: {url}",
                remedy="give the mirror's host and port alone",
                rule="registry-mirror-path",
            )
