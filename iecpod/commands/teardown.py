"""`iecpod teardown`: everything of a POD that is marked as ours goes, and what stays is an error."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from iecpod.commands.tools import PodTools
from iecpod.design.ownership import Foreign, Owner, claims_to_be, find_foreign, is_owned
from iecpod.design.resources import Kind, ObservedResource
from iecpod.errors import CleanupError
from iecpod.hypervisor_uri import EMBEDDED, HypervisorUri
from iecpod.ports import Hypervisor, HypervisorHost

#: Guests before the networks they hang on and the pool their disks are in.
_ORDER = (Kind.DOMAIN, Kind.NETWORK, Kind.POOL)


@dataclass(frozen=True, slots=True)
class Kept:
    """`name` is `kind name`."""

    name: str
    foreign: Foreign


@dataclass(frozen=True, slots=True)
class Removed:
    """`kind name` of each object that went. `kept` are those that only seem to be the POD's, each with the reason."""

    names: tuple[str, ...]
    kept: tuple[Kept, ...] = ()

    def check(self) -> None:
        """Raises `CleanupError` where something stays that has the marks or names of the POD."""
        if self.kept:
            left = [f"{kept.name}, which {kept.foreign.why}" for kept in self.kept]
            raise CleanupError(left, "; ".join(dict.fromkeys(kept.foreign.remedy for kept in self.kept)))


def teardown(tools: PodTools, uri: HypervisorUri) -> Removed:
    """Removes domains with their NVRAM, networks, pool, daemons and keys; caches stay.

    Raises `CleanupError` with a list of what is left of the POD. What others have made of it (copies, or the same POD
    from another state directory) stays, and an embedded hypervisor with it.
    """
    with tools.lock():
        return _remove_all(tools, uri)


def _remove_all(tools: PodTools, uri: HypervisorUri) -> Removed:
    if uri == EMBEDDED and not tools.pod_dir.exists():
        return Removed(())
    host = tools.host(uri)
    host.start()
    hypervisor = host.connect()
    try:
        used = _used_pools(tools, hypervisor)
        names = _remove_objects(tools, hypervisor, used)
        observed = hypervisor.observe()
    finally:
        hypervisor.close()
    owner = tools.owner
    kept = (*_find_kept(owner, observed), *used.values())
    left = [f"{seen.kind.value} {seen.name}" for seen in observed if is_owned(seen, owner) and not _is_in(seen, used)]
    if not left and not (kept and (uri == EMBEDDED or used)):
        left = _stop(tools, host)
    if left:
        raise CleanupError(left, "run teardown again; if it stays, remove these by hand")
    return Removed(tuple(names), kept)


def remove_machines(tools: PodTools, uri: HypervisorUri, names: tuple[str, ...]) -> Removed:
    """Removes some domains with their NVRAM, for who holds the POD's lock; volumes stay, and are replaced when used."""
    hypervisor = tools.host(uri).connect()
    try:
        domains = [seen for seen in _owned(tools, hypervisor) if seen.kind is Kind.DOMAIN and seen.name in names]
        return Removed(tuple(_remove(tools, hypervisor, domains)))
    finally:
        hypervisor.close()


def _owned(tools: PodTools, hypervisor: Hypervisor) -> list[ObservedResource]:
    owner = tools.owner
    return [resource for resource in hypervisor.observe() if is_owned(resource, owner)]


def _remove_objects(tools: PodTools, hypervisor: Hypervisor, used: Mapping[str, Kept]) -> list[str]:
    removed: list[str] = []
    for kind in _ORDER:
        ours = [seen for seen in _owned(tools, hypervisor) if seen.kind is kind and not _is_in(seen, used)]
        removed += _remove(tools, hypervisor, ours)
    return removed


def _find_kept(owner: Owner, observed: Sequence[ObservedResource]) -> Iterator[Kept]:
    for seen in observed:
        foreign = find_foreign(seen, owner)
        if foreign is not None and claims_to_be(seen, owner.ref):
            yield Kept(f"{seen.kind.value} {seen.name}", foreign)


def _used_pools(tools: PodTools, hypervisor: Hypervisor) -> dict[str, Kept]:
    """By name. A copy of a machine may have its disk beside those of the POD, and a pool goes with all in it."""
    observed, owner = hypervisor.observe(), tools.owner
    domains = [seen for seen in observed if seen.kind is Kind.DOMAIN]
    ours = {disk for seen in domains if is_owned(seen, owner) for disk in seen.disks}
    others = [(seen.name, set(seen.disks) - ours) for seen in domains if not is_owned(seen, owner)]
    found = {}
    for pool in observed:
        if pool.kind is Kind.POOL and is_owned(pool, owner):
            users = [name for name, disks in others if any(_is_below(disk, pool.files) for disk in disks)]
            if users:
                foreign = Foreign(f"holds disks of {', '.join(users)}", "move these disks, and run teardown again")
                found[pool.name] = Kept(f"pool {pool.name}", foreign)
    return found


def _is_below(path: str, directories: Sequence[str]) -> bool:
    return any(PurePath(path).is_relative_to(directory) for directory in directories)


def _is_in(seen: ObservedResource, pools: Container[str]) -> bool:
    return seen.kind in (Kind.POOL, Kind.VOLUME) and seen.name.partition("/")[0] in pools


def _remove(tools: PodTools, hypervisor: Hypervisor, resources: Sequence[ObservedResource]) -> list[str]:
    names = [f"{resource.kind.value} {resource.name}" for resource in resources]
    for name, resource in zip(names, resources, strict=True):
        tools.reporter.progress(f"removing {name}")
        hypervisor.remove(resource)
    return names


def _stop(tools: PodTools, host: HypervisorHost) -> list[str]:
    host.stop()
    tools.remove_pod_dir()
    left = list(host.leftovers())
    if tools.pod_dir.exists():
        left.append(f"directory {tools.pod_dir}")
    return left
