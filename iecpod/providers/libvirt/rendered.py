"""A designed POD as all that libvirt and cloud-init will be given; only the paths of images are left to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iecpod.design.machines import Seed
from iecpod.design.pod_design import PodDesign
from iecpod.model import Arch
from iecpod.providers.libvirt.dependencies import NodeSecrets
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.objects import DesiredDomain, Resource
from iecpod.providers.libvirt.xml import Stamp, pool_resource, resource_of
from iecpod.release.release import ImageSourceType
from iecpod.render.cloud_init import render_seed


@dataclass(frozen=True, slots=True)
class RenderedDomain:
    domain: DesiredDomain
    resource: Resource
    seed: Seed


@dataclass(frozen=True, slots=True)
class RenderedPod:
    networks: tuple[Resource, ...]
    pool: Resource
    domains: tuple[RenderedDomain, ...]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """In the order in which they are made."""
        return (*self.networks, self.pool, *(rendered.resource for rendered in self.domains))


class Render(Protocol):
    """`render_pod` of one design."""

    def __call__(self, *, secrets: NodeSecrets) -> RenderedPod: ...


def render_pod(
    machines: DesiredMachines,
    alone: Callable[[str], PodDesign],
    *,
    stamp: Stamp,
    secrets: NodeSecrets,
    image_keys: Mapping[Arch, str],
    cloud_init_dir: Path,
) -> RenderedPod:
    """`image_keys` are the digests of what the base images are made from: another image is another domain.

    `alone` is the POD as if a node were its only one. A domain's digest is made of that, so that nodes which join or
    leave change no other; its seed has all nodes, as far as they were known when it was made.
    """

    def render_domain(domain: DesiredDomain) -> RenderedDomain:
        seed = _render_seed(machines.pod, domain, secrets, cloud_init_dir)
        own = _render_seed(alone(domain.hostname), domain, secrets, cloud_init_dir)
        key = image_keys[domain.arch]
        return RenderedDomain(domain, resource_of(domain, stamp, _inputs(key, own), _inputs(key, seed)), seed)

    return RenderedPod(
        networks=tuple(resource_of(network, stamp) for network in machines.networks),
        pool=pool_resource(machines.pod.spec.ref, machines.pool_path),
        domains=tuple(render_domain(domain) for domain in machines.domains),
    )


def _inputs(image_key: str, seed: Seed) -> dict[str, str]:
    return {
        "image": image_key,
        "user-data": seed.user_data,
        "meta-data": seed.meta_data,
        "network-config": seed.network_config,
    }


def _render_seed(pod: PodDesign, domain: DesiredDomain, secrets: NodeSecrets, cloud_init_dir: Path) -> Seed:
    private, public = secrets.host_keys[domain.hostname]
    return render_seed(
        domain.hostname,
        domain.vnics,
        ref=pod.spec.ref,
        fqdn_domain=pod.scenario.dns_domain,
        user=pod.cluster.release.user,
        authorized_key=secrets.authorized_key,
        host_key_private=private,
        host_key_public=public,
        hosts=pod.hosts,
        ntp_servers=pod.spec.idf.ntp_servers,
        supply=pod.supply,
        apt_mirror=_apt_mirror(pod),
        instance_id=domain.uuid,
        low_overhead=pod.cluster.low_overhead,
        templates_dir=cloud_init_dir,
    )


def _apt_mirror(pod: PodDesign) -> str:
    """Not where nodes fetch nothing: an image of iecpod's own was made from the mirror, and no package comes by apt."""
    release = pod.cluster.release
    is_used = release.packages or release.image.type is not ImageSourceType.MMDEBSTRAP
    return pod.supply.apt_mirror if is_used else ""
