"""`iecpod teardown`: everything of a POD that is marked as ours goes, and what stays is an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iecpod.commands.request import EMBEDDED
from iecpod.commands.tools import PodTools
from iecpod.design.plan import is_owned
from iecpod.design.resources import Kind, ObservedResource
from iecpod.errors import CleanupError
from iecpod.ports import Hypervisor, HypervisorHost

#: Guests before the networks they hang on and the pool their disks are in.
_ORDER = (Kind.DOMAIN, Kind.NETWORK, Kind.POOL)


@dataclass(frozen=True, slots=True)
class Removed:
    """`kind name` of each object that went."""

    names: tuple[str, ...]


def teardown(tools: PodTools, uri: str) -> Removed:
    """Removes domains with their NVRAM, networks, pool, daemons and keys; caches stay.

    Raises `CleanupError` with a list of what is left.
    """
    with tools.lock():
        return _remove_all(tools, uri)


def _remove_all(tools: PodTools, uri: str) -> Removed:
    if uri == EMBEDDED and not tools.pod_dir.exists():
        return Removed(())
    host = tools.host(uri)
    host.start()
    hypervisor = host.connect()
    try:
        removed = _remove_objects(tools, hypervisor)
        left = [f"{seen.kind.value} {seen.name}" for seen in _owned(tools, hypervisor)]
    finally:
        hypervisor.close()
    if not left:
        left = _stop(tools, host)
    if left:
        raise CleanupError(left, "run teardown again; if it stays, remove these by hand")
    return removed


def remove_machines(tools: PodTools, uri: str, names: tuple[str, ...]) -> Removed:
    """Removes some domains with their NVRAM, for who holds the POD's lock; volumes stay, and are replaced when used."""
    hypervisor = tools.host(uri).connect()
    try:
        domains = [seen for seen in _owned(tools, hypervisor) if seen.kind is Kind.DOMAIN and seen.name in names]
        return Removed(tuple(_remove(tools, hypervisor, domains)))
    finally:
        hypervisor.close()


def _owned(tools: PodTools, hypervisor: Hypervisor) -> list[ObservedResource]:
    return [resource for resource in hypervisor.observe() if is_owned(resource, tools.ref)]


def _remove_objects(tools: PodTools, hypervisor: Hypervisor) -> Removed:
    removed: list[str] = []
    for kind in _ORDER:
        removed += _remove(tools, hypervisor, [seen for seen in _owned(tools, hypervisor) if seen.kind is kind])
    return Removed(tuple(removed))


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
