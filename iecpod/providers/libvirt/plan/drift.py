"""How an object differs from what its POD asks for, in words: what it was made from, and what others set since."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.providers.libvirt.objects import DesiredDomain, DesiredNetwork, Kind, Mark, ObservedResource, Resource

OFF = "off"


def made_differently(resource: Resource, mark: Mark) -> tuple[str, ...]:
    """What the object would be made from now that it was not made from then; its digest is known to differ."""
    differing = min((_differing(parts, mark) for parts in _known_parts(resource)), key=len)
    return tuple(f"another {name}" for name in differing) or ("another definition",)


def _known_parts(resource: Resource) -> Iterator[tuple[tuple[str, str], ...]]:
    yield resource.parts
    yield from (parts for _digest, parts in resource.earlier)


def _differing(parts: tuple[tuple[str, str], ...], mark: Mark) -> list[str]:
    then = dict(mark.parts)
    return [name for name, digest in parts if name in then and then[name] != digest]


def is_made_so(resource: Resource, mark: Mark) -> bool:
    """Whether the object was made from what it would be made from now."""
    return mark.digest in (resource.digest, *(digest for digest, _parts in resource.earlier))


def set_differently(resource: Resource, seen: ObservedResource) -> tuple[str, ...]:
    """What `virsh edit` and the like have changed: libvirt rewrites XML, so single facts are compared.

    The first word is `off` or `paused` where the object does not run.
    """
    return tuple(_set_differently(resource, seen))


def _set_differently(resource: Resource, seen: ObservedResource) -> Iterator[str]:
    if not seen.active:
        yield "paused" if seen.paused else OFF
    if isinstance(resource.desired, DesiredDomain):
        yield from _domain(resource.desired, seen)
    elif isinstance(resource.desired, DesiredNetwork):
        yield from _network(resource.desired, seen)
    starts_with_libvirt = resource.kind is not Kind.DOMAIN
    if seen.autostart != starts_with_libvirt:
        yield f"autostart {_switch(seen.autostart)}, not {_switch(starts_with_libvirt)}"


def _domain(desired: DesiredDomain, seen: ObservedResource) -> Iterator[str]:
    if seen.vcpus != desired.vcpus:
        yield f"vcpus {seen.vcpus}, not {desired.vcpus}"
    if seen.memory_mib != desired.memory_mib:
        yield f"memory {seen.memory_mib} MiB, not {desired.memory_mib} MiB"
    wanted = tuple(vnic.mac.lower() for vnic in desired.vnics)
    yield from (f"NIC {mac} added" for mac in seen.macs if mac not in wanted)
    yield from (f"NIC {mac} missing" for mac in wanted if mac not in seen.macs)
    if seen.macs != wanted and sorted(seen.macs) == sorted(wanted):
        yield "NICs in another order"


def _network(desired: DesiredNetwork, seen: ObservedResource) -> Iterator[str]:
    if seen.bridge != desired.bridge:
        yield f"bridge {seen.bridge or 'none'}, not {desired.bridge}"
    wanted = (desired.cidr,) if desired.host_address and desired.cidr else ()
    if seen.cidrs != wanted:
        yield f"addresses {_listed(seen.cidrs)}, not {_listed(wanted)}"


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values)) or "none"


def _switch(on: bool) -> str:
    return "on" if on else "off"
