"""Whether a bundle that was given is for the nodes of a POD: part of the preflight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iecpod.design.machines import Machine
from iecpod.design.pod_design import PodDesign
from iecpod.errors import Problem


def check_bundle(pod: PodDesign, machines: Sequence[Machine]) -> Iterator[Problem]:
    release = pod.cluster.release
    if release.provided is None:
        return
    for arch in dict.fromkeys(machine.arch for machine in machines):
        if arch is not release.provided.arch:
            yield Problem(
                message=f"the bundle is for {release.provided.arch.value}, and nodes are {arch.value}",
                remedy=f"build one with `iecpod bundle build --release {release.name} --arch {arch.value}`",
                rule="bundle-arch",
            )
