"""Whose an object of a hypervisor is: the POD's that this installation deployed, or another's.

An installation is a state directory, known by a UUID of its own. Metadata alone makes nothing ours, since it travels
with a copy: UUID and name must be the computed ones, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from iecpod.design.owner import Owner
from iecpod.errors import ResourceConflict
from iecpod.model import PodRef
from iecpod.naming import pool_name, resource_name, resource_uuid
from iecpod.providers.libvirt.objects import Kind, Mark, ObservedResource

_LEAVE_ALONE = "rename or remove it, or use another hypervisor (-c); iecpod touches only what it made itself"


@dataclass(frozen=True, slots=True)
class Foreign:
    """Why an object is not the POD's, as words that continue `an object that`, and what can be done."""

    why: str
    remedy: str = _LEAVE_ALONE


def is_owned(seen: ObservedResource, owner: Owner) -> bool:
    """Pools and volumes are marked by the adapter: a pool by name, UUID and directory, a volume by its pool."""
    return find_foreign(seen, owner) is None


def find_foreign(seen: ObservedResource, owner: Owner) -> Foreign | None:
    """None where the object is the POD's."""
    mark = seen.mark
    if mark is None:
        return _unmarked(seen, owner)
    if mark.ref != owner.ref:
        return Foreign(f"belongs to POD {mark.ref}")
    if seen.kind is Kind.VOLUME:
        return None
    if not is_computed(seen, owner.ref):
        return Foreign(
            f"bears the metadata of this POD, but not the name and UUID that iecpod gives: {seen.uuid} is a copy, or "
            "it was renamed",
            "remove it, or take iecpod's metadata out of it (virsh edit); iecpod touches only what it made itself",
        )
    return None if _has_marked(owner, mark) else _of_another_installation(mark, seen, owner)


def check_owned(seen: ObservedResource, owner: Owner) -> None:
    """Raises `ResourceConflict` for an object that is not the POD's."""
    foreign = find_foreign(seen, owner)
    if foreign is not None:
        raise ResourceConflict(
            f"libvirt has a {seen.kind.value} {seen.name} ({seen.uuid}) that {foreign.why}", foreign.remedy
        )


def claims_to_be(seen: ObservedResource, ref: PodRef) -> bool:
    """Whether an object looks like one of the POD, rightly or not: by its metadata, or by name and UUID."""
    marked = seen.mark is not None and seen.mark.ref == ref
    return marked or (seen.kind is not Kind.VOLUME and is_computed(seen, ref))


def is_computed(seen: ObservedResource, ref: PodRef) -> bool:
    """Whether name and UUID are those that iecpod gives an object of this kind."""
    is_named = seen.name == pool_name(ref) if seen.kind is Kind.POOL else seen.name.startswith(resource_name(ref) + "-")
    return is_named and seen.uuid.lower() == str(resource_uuid(ref, seen.kind.value, seen.name))


def _has_marked(owner: Owner, mark: Mark) -> bool:
    """Whether this installation wrote the mark, as far as the mark says."""
    return mark.installation == owner.installation or (not mark.installation and owner.owns_unmarked)


def _unmarked(seen: ObservedResource, owner: Owner) -> Foreign:
    if seen.kind is Kind.POOL and is_computed(seen, owner.ref):
        return Foreign(
            f"was deployed from another state directory: its directory is {', '.join(seen.files) or 'unknown'}",
            _from_there(),
        )
    return Foreign("iecpod did not make")


def _of_another_installation(mark: Mark, seen: ObservedResource, owner: Owner) -> Foreign:
    files = f"; its files: {', '.join(seen.files)}" if seen.files else ""
    if not mark.installation:
        return Foreign(
            f"an earlier version of iecpod made, and nothing says that it was deployed from here{files}",
            _from_there(),
        )
    return Foreign(
        f"was deployed from another state directory (installation {mark.installation}, this one is "
        f"{owner.installation}{files})",
        _from_there(),
    )


def _from_there() -> str:
    return "tear it down from the state directory that it was deployed from (-S), or use another hypervisor (-c)"
