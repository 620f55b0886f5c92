"""Whether a bundle that was given is for the nodes of a POD: part of the preflight."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.design.desired import DesiredPod
from iecpod.errors import Problem


def check_bundle(pod: DesiredPod) -> Iterator[Problem]:
    release = pod.cluster.release
    if release.provided is None:
        return
    for arch in dict.fromkeys(domain.arch for domain in pod.domains):
        if arch is not release.provided.arch:
            yield Problem(
                message=f"the bundle is for {release.provided.arch.value}, and nodes are {arch.value}",
                remedy=f"build one with `iecpod bundle build --release {release.name} --arch {arch.value}`",
                rule="bundle-arch",
            )
