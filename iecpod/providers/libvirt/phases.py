"""Phases on the hypervisor: image, networks, storage, domains. What they make was rendered before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iecpod.errors import HostError, HypervisorUnavailable, ResourceConflict
from iecpod.model import Arch
from iecpod.ports import BaseImage, BundleDisks, Images
from iecpod.providers.libvirt.objects import Kind, Resource, VlanLink
from iecpod.providers.libvirt.ports import Hypervisor, VlanLinks


@dataclass(frozen=True, slots=True)
class ImagePhase:
    """Fetches or builds the base images, one an architecture, and the disks of the bundle where domains have them.

    Not `needed` where every domain exists already.
    """

    images: Images
    architectures: tuple[Arch, ...]
    needed: bool
    bundle_disks: BundleDisks | None = None
    name: str = "image"
    summary: str = "base image in the cache, verified"

    def probe(self) -> str | None:
        if not self.needed:
            return "not needed"
        if self.bundle_disks is not None and not all(map(self.bundle_disks.is_made, self.architectures)):
            return None
        found = [self.images.find(arch) for arch in self.architectures]
        return ", ".join(f"sha256:{image.sha256[:12]}" for image in found if image) if all(found) else None

    def run(self) -> None:
        for arch in self.architectures:
            self.images.ensure(arch)
            if self.bundle_disks is not None:
                self.bundle_disks.ensure(arch)


@dataclass(frozen=True, slots=True)
class NetworksPhase:
    """`links` join the networks that a NIC has by their tags to what the NIC is plugged into."""

    hypervisor: Hypervisor
    networks: tuple[Resource, ...]
    vlan_links: VlanLinks
    links: tuple[VlanLink, ...] = ()
    name: str = "networks"
    summary: str = "libvirt networks of the POD"

    def probe(self) -> str | None:
        active = _all_active(self.hypervisor, self.networks)
        return None if self.vlan_links.find_missing(self.links) else active

    def run(self) -> None:
        _define_and_start(self.hypervisor, self.networks)
        if self.links:
            self.vlan_links.ensure(self.links)


@dataclass(frozen=True, slots=True)
class StoragePhase:
    hypervisor: Hypervisor
    pool: Resource
    name: str = "storage"
    summary: str = "storage pool of the POD"

    def probe(self) -> str | None:
        return _all_active(self.hypervisor, (self.pool,))

    def run(self) -> None:
        _define_and_start(self.hypervisor, (self.pool,))


@dataclass(frozen=True, slots=True)
class DomainToMake:
    """A domain and its volumes: the root overlay, rendered once the image's path is known, and the seed."""

    resource: Resource
    arch: Arch
    render_root_volume: Callable[[BaseImage], str]
    seed_volume: str
    make_seed: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class DomainsPhase:
    """Volumes first, the domain's definition last: where a domain is defined, its volumes are complete.

    `start_remedy`, where there is one, is what people should try when a domain does not start.
    """

    hypervisor: Hypervisor
    images: Images
    pool_name: str
    domains: tuple[DomainToMake, ...]
    start_remedy: str
    name: str = "domains"
    summary: str = "virtual machines, with root overlay and seed"

    def probe(self) -> str | None:
        return _all_active(self.hypervisor, tuple(domain.resource for domain in self.domains))

    def run(self) -> None:
        existing = {seen.name for seen in self.hypervisor.observe() if seen.kind is Kind.DOMAIN}
        for domain in self.domains:
            if domain.resource.name not in existing:
                root_volume = domain.render_root_volume(self.images.ensure(domain.arch))
                self.hypervisor.create_volume(self.pool_name, root_volume)
                self.hypervisor.upload_volume(self.pool_name, domain.seed_volume, domain.make_seed())
        try:
            _define_and_start(self.hypervisor, tuple(domain.resource for domain in self.domains))
        except (ResourceConflict, HypervisorUnavailable):
            raise
        except HostError as error:
            raise HostError(error.cause, "; ".join(filter(None, (error.remedy, self.start_remedy)))) from error
        self._check_running()

    def _check_running(self) -> None:
        """QEMU starts, and pauses or ends a guest as soon as KVM cannot continue with it."""
        stopped = find_inactive(self.hypervisor, tuple(domain.resource for domain in self.domains))
        if stopped:
            raise HostError(
                f"domain {' and '.join(stopped)} was started and does not run",
                "; ".join(filter(None, ("see the hypervisor's log of it in `iecpod logs`", self.start_remedy))),
            )


def _define_and_start(hypervisor: Hypervisor, resources: tuple[Resource, ...]) -> None:
    existing = {(seen.kind, seen.name) for seen in hypervisor.observe()}
    for resource in resources:
        if (resource.kind, resource.name) not in existing:
            hypervisor.define(resource)
        hypervisor.start(resource.kind, resource.name)


def _all_active(hypervisor: Hypervisor, resources: tuple[Resource, ...]) -> str | None:
    return None if find_inactive(hypervisor, resources) else f"{len(resources)} active"


def find_inactive(hypervisor: Hypervisor, resources: tuple[Resource, ...]) -> list[str]:
    active = {(seen.kind, seen.name) for seen in hypervisor.observe() if seen.active}
    return [resource.name for resource in resources if (resource.kind, resource.name) not in active]
