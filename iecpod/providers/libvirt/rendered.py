"""A designed POD as all that libvirt and cloud-init will be given; only the paths of images are left to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iecpod.design.machines import Seed
from iecpod.design.pod import PodDesign
from iecpod.design.release import ImageSourceType
from iecpod.model import Arch
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.objects import DesiredDomain, Resource
from iecpod.providers.libvirt.tools import NodeSecrets
from iecpod.providers.libvirt.xml import Stamp, pool_resource, resource_of
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


def render_pod(
    machines: DesiredMachines,
    *,
    stamp: Stamp,
    secrets: NodeSecrets,
    image_keys: Mapping[Arch, str],
    cloud_init_dir: Path,
) -> RenderedPod:
    """`image_keys` are the digests of what the base images are made from: another image is another domain."""
    return RenderedPod(
        networks=tuple(resource_of(network, stamp) for network in machines.networks),
        pool=pool_resource(machines.pod.spec.ref, machines.pool_path),
        domains=tuple(
            _render_domain(machines.pod, domain, stamp, secrets, image_keys[domain.arch], cloud_init_dir)
            for domain in machines.domains
        ),
    )


def _render_domain(
    pod: PodDesign, domain: DesiredDomain, stamp: Stamp, secrets: NodeSecrets, image_key: str, cloud_init_dir: Path
) -> RenderedDomain:
    private, public = secrets.host_keys[domain.hostname]
    seed = render_seed(
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
        low_overhead=pod.cluster.calm,
        templates_dir=cloud_init_dir,
    )
    inputs = {
        "image": image_key,
        "user-data": seed.user_data,
        "meta-data": seed.meta_data,
        "network-config": seed.network_config,
    }
    return RenderedDomain(domain, resource_of(domain, stamp, inputs), seed)


def _apt_mirror(pod: PodDesign) -> str:
    """Not where nodes fetch nothing: an image of iecpod's own was made from the mirror, and no package comes by apt."""
    release = pod.cluster.release
    is_used = release.packages or release.image.type is not ImageSourceType.MMDEBSTRAP
    return pod.supply.apt_mirror if is_used else ""
