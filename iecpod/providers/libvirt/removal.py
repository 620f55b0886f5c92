"""Removing what is marked as a POD's, and finding what only seems to be."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import PurePath

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.owner import Owner
from iecpod.naming import pool_name, resource_name
from iecpod.ports import Reporter
from iecpod.provider import Kept, Removed
from iecpod.providers.libvirt.design import is_overlay, volume_names
from iecpod.providers.libvirt.objects import Kind, ObservedResource
from iecpod.providers.libvirt.ownership import claims_to_be, find_foreign, is_owned
from iecpod.providers.libvirt.ports import Hypervisor

#: Guests before the networks they hang on and the pool their disks are in.
_ORDER = (Kind.DOMAIN, Kind.NETWORK, Kind.POOL)


class Removal:
    """Removes objects of one owner, as long as the connection lasts."""

    def __init__(self, hypervisor: Hypervisor, owner: Owner, reporter: Reporter) -> None:
        self._hypervisor = hypervisor
        self._owner = owner
        self._reporter = reporter

    def remove_all(self) -> Removed:
        """Domains with their NVRAM, networks and pool. A pool that holds the disks of others is kept."""
        used = self._used_pools()
        names: list[str] = []
        for kind in _ORDER:
            names += self._remove([seen for seen in self._owned() if seen.kind is kind and not _is_in(seen, used)])
        observed = self._hypervisor.observe()
        owned = [seen for seen in observed if is_owned(seen, self._owner)]
        left = tuple(f"{seen.kind.value} {seen.name}" for seen in owned if not _is_in(seen, used))
        kept = (*_find_kept(self._owner, observed), *used.values())
        return Removed(tuple(names), kept, left, keeps_state=bool(used))

    def remove_domains(self, names: Sequence[str]) -> Removed:
        """Volumes stay, and are replaced when used; disks on top of checkpoints would not be used again, and go."""
        removed = self._remove([seen for seen in self._owned() if seen.kind is Kind.DOMAIN and seen.name in names])
        hostnames = [name.removeprefix(resource_name(self._owner.ref, "")) for name in names]
        return Removed((*removed, *self._remove(self._unused_overlays(hostnames))))

    def remove_machines(self, hostnames: Sequence[str]) -> Removed:
        """Domains with NVRAM and volumes."""
        names = [resource_name(self._owner.ref, hostname) for hostname in hostnames]
        removed = self.remove_domains(names)
        pool = pool_name(self._owner.ref)
        volumes = {f"{pool}/{volume}" for hostname in hostnames for volume in volume_names(hostname)}
        return Removed((*removed.names, *self._remove([seen for seen in self._owned() if seen.name in volumes])))

    def _unused_overlays(self, hostnames: Sequence[str]) -> list[ObservedResource]:
        """Of machines without a domain. A name may look like that of another's disk, which its domain uses."""
        owned = self._owned()
        used = {PurePath(disk).name for seen in owned if seen.kind is Kind.DOMAIN for disk in seen.disks}
        return [
            seen
            for seen in owned
            if seen.kind is Kind.VOLUME
            and (volume := seen.name.partition("/")[2]) not in used
            and any(is_overlay(hostname, volume) for hostname in hostnames)
        ]

    def _owned(self) -> list[ObservedResource]:
        return [resource for resource in self._hypervisor.observe() if is_owned(resource, self._owner)]

    def _remove(self, resources: Sequence[ObservedResource]) -> list[str]:
        """Domains all at once: the memory of each takes the host a second or two to free."""
        named = {f"{resource.kind.value} {resource.name}": resource for resource in resources}

        def remove(name: str) -> None:
            self._reporter.progress(f"removing {name}")
            self._hypervisor.remove(named[name])

        run_on_nodes([name for name, resource in named.items() if resource.kind is Kind.DOMAIN], remove)
        for name, resource in named.items():
            if resource.kind is not Kind.DOMAIN:
                remove(name)
        return list(named)

    def _used_pools(self) -> dict[str, Kept]:
        """By name. A copy of a machine may have its disk beside those of the POD, and a pool goes with all in it."""
        observed = self._hypervisor.observe()
        domains = [seen for seen in observed if seen.kind is Kind.DOMAIN]
        ours = {disk for seen in domains if is_owned(seen, self._owner) for disk in seen.disks}
        others = [(seen.name, set(seen.disks) - ours) for seen in domains if not is_owned(seen, self._owner)]
        found = {}
        for pool in observed:
            if pool.kind is Kind.POOL and is_owned(pool, self._owner):
                users = [name for name, disks in others if any(_is_below(disk, pool.files) for disk in disks)]
                if users:
                    why = f"holds disks of {', '.join(users)}"
                    found[pool.name] = Kept(f"pool {pool.name}", why, "move these disks, and run teardown again")
        return found


def _find_kept(owner: Owner, observed: Sequence[ObservedResource]) -> Iterator[Kept]:
    for seen in observed:
        foreign = find_foreign(seen, owner)
        if foreign is not None and claims_to_be(seen, owner.ref):
            yield Kept(f"{seen.kind.value} {seen.name}", foreign.why, foreign.remedy)


def _is_below(path: str, directories: Sequence[str]) -> bool:
    return any(PurePath(path).is_relative_to(directory) for directory in directories)


def _is_in(seen: ObservedResource, pools: Container[str]) -> bool:
    return seen.kind in (Kind.POOL, Kind.VOLUME) and seen.name.partition("/")[0] in pools
