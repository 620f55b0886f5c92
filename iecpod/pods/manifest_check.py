"""What is known of a POD's manifests before anything is made: changes, images, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.design.machines import architectures
from iecpod.design.software.image_origin import NeededImage, find_origins
from iecpod.errors import DescriptorError, ImageError, Problem
from iecpod.pods.ports import PodSoftware
from iecpod.pods.resolve import PodInputs
from iecpod.provider import MachinePlan

#: What is checked at the end runs in an image, too.
_VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class KnownManifests:
    """`changes` are those of the pod network's manifest, a line each; `images` those of it and of the check at the end.

    `error` is why the manifest of the pod network is not known, or cannot be patched.
    """

    changes: tuple[str, ...] = ()
    images: tuple[NeededImage, ...] = ()
    error: ImageError | DescriptorError | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.error.problems if isinstance(self.error, DescriptorError) else ()

    def check(self) -> None:
        """Raises `ImageError`, `DescriptorError`."""
        if self.error is not None:
            raise self.error


def look_at_manifests(planned: MachinePlan, inputs: PodInputs, software: PodSoftware) -> KnownManifests:
    """A plan can be read without a network, too, so nothing is raised here."""
    if inputs.request.stops_before_kubernetes:
        return KnownManifests()
    pod, cluster = planned.pod, planned.pod.cluster
    archs = architectures(planned.machines)

    def origins(images: tuple[str, ...]) -> tuple[NeededImage, ...]:
        wanted = {cluster.cni.name: images, _VERIFY: (cluster.release.nginx_image,)}
        return find_origins(wanted, cluster.release, pod.supply, archs)

    if not cluster.cni.has_manifest or cluster.cni.name not in cluster.release.cnis:
        return KnownManifests(images=origins(()))
    try:
        manifest = software.cni_manifest(cluster)
    except (ImageError, DescriptorError) as error:
        return KnownManifests(images=origins(()), error=error)
    return KnownManifests(manifest.changes, origins(manifest.images))
