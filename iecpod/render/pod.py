"""A designed POD as all that libvirt and cloud-init will be given; only the paths of images are left to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.design.desired import DesiredPod
from iecpod.design.release import ImageSourceType
from iecpod.design.resources import DesiredDomain, Resource, Seed
from iecpod.model import Arch
from iecpod.render.cloud_init import render_seed
from iecpod.render.libvirt import Stamp, pool_resource, resource_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSecrets:
    """The POD's public client key, and each host's SSH host key as (private, public) text by host name."""

    authorized_key: str
    host_keys: Mapping[str, tuple[str, str]]


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
    pod: DesiredPod, *, stamp: Stamp, secrets: NodeSecrets, image_keys: Mapping[Arch, str], cloud_init_dir: Path
) -> RenderedPod:
    """`image_keys` are the digests of what the base images are made from: another image is another domain."""
    return RenderedPod(
        networks=tuple(resource_of(network, stamp) for network in pod.networks),
        pool=pool_resource(pod.spec.ref, pod.pool_path),
        domains=tuple(
            _render_domain(pod, domain, stamp, secrets, image_keys[domain.arch], cloud_init_dir)
            for domain in pod.domains
        ),
    )


def _render_domain(
    pod: DesiredPod, domain: DesiredDomain, stamp: Stamp, secrets: NodeSecrets, image_key: str, cloud_init_dir: Path
) -> RenderedDomain:
    private, public = secrets.host_keys[domain.hostname]
    seed = render_seed(
        domain,
        ref=pod.spec.ref,
        fqdn_domain=pod.scenario.dns_domain,
        user=pod.cluster.release.user,
        authorized_key=secrets.authorized_key,
        host_key_private=private,
        host_key_public=public,
        hosts=_hosts(pod),
        ntp_servers=pod.spec.idf.ntp_servers,
        supply=pod.supply,
        apt_mirror=_apt_mirror(pod),
        instance_id=domain.uuid,
        templates_dir=cloud_init_dir,
    )
    inputs = {
        "image": image_key,
        "user-data": seed.user_data,
        "meta-data": seed.meta_data,
        "network-config": seed.network_config,
    }
    return RenderedDomain(domain, resource_of(domain, stamp, inputs), seed)


def _hosts(pod: DesiredPod) -> tuple[tuple[IPv4Address, tuple[str, ...]], ...]:
    """Every node on its mgmt address, as FQDN and as short name."""
    return tuple(
        (node.address, (f"{node.hostname}.{pod.scenario.dns_domain}", node.hostname)) for node in pod.cluster.nodes
    )


def _apt_mirror(pod: DesiredPod) -> str:
    """Not where nodes fetch nothing: an image of iecpod's own was made from the mirror, and no package comes by apt."""
    release = pod.cluster.release
    is_used = release.packages or release.image.type is not ImageSourceType.MMDEBSTRAP
    return pod.supply.apt_mirror if is_used else ""
