"""What a POD was deployed with, kept in its directory: later commands need no options, a teardown no descriptors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from iecpod.design.bundle_manifest import check_digest
from iecpod.design.container_environment import ContainerEnvironment, read_environments
from iecpod.design.delivery import BundleVia
from iecpod.design.image_archive import check_archive_digest
from iecpod.design.machines import ProviderName, Site, VirtType
from iecpod.design.release import Encapsulation
from iecpod.design.supply import Supply
from iecpod.errors import UsageError
from iecpod.hypervisor_uri import HypervisorUri, parse_connect
from iecpod.model import PodRef
from iecpod.outside_json import Json, parse_json
from iecpod.ssh_login import check_user

#: What a POD cannot change while it lives, and how a sentence says it. For all else the plan tells what would change.
_FIXED = {
    "provider": "by provider",
    "uri": "on",
    "addressing": "with addresses",
    "scenario": "as scenario",
    "release": "with release",
    "base_os": "on base image",
    "pod_cidr": "with the pod CIDR",
    "service_cidr": "with the service CIDR",
    "calico_encapsulation": "with Calico's encapsulation",
    "manifest_patch": "with the manifest patch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Options of the POD's deploy, defaults filled in; None where it was not deployed, or the option was left open.

    `user` is whom nodes are logged in to as, where that is not the release's. `addressing` is `fuel`, `compact` or
    `stated`; sizes replace those of the PDF. Without a `virt_type` it is to be found
    out, without `bundle_via` the release has no bundle, without `calico_encapsulation` there is no Calico. `bundle` is
    the digest of one that was given (--bundle), `bundle_digest` the one that was demanded, `bundle_signers` the file of
    those who may sign it. `image_archives` are digests of files that were given (--image-archive), `manifest_patch` is
    what was read of one (--manifest-patch), None for a POD of a version without that option. `disposable` is as in
    `DesiredDomain`. `places` are those of the nodes, by their names in the PDF, and `planned_nodes` how many there were
    when the networks were made.
    """

    provider: ProviderName | None = None
    uri: HypervisorUri | None = None
    user: str | None = None
    addressing: str | None = None
    base_uri: str | None = None
    scenario: str | None = None
    release: str | None = None
    base_os: str | None = None
    pod_cidr: str | None = None
    service_cidr: str | None = None
    virt_type: VirtType | None = None
    vcpus: int | None = None
    memory_mib: int | None = None
    disposable: bool | None = None
    bundle_via: BundleVia | None = None
    calico_encapsulation: Encapsulation | None = None
    bundle: str | None = None
    bundle_digest: str | None = None
    bundle_signers: str | None = None
    image_archives: tuple[str, ...] = ()
    manifest_patch: tuple[ContainerEnvironment, ...] | None = None
    supply: Supply = field(default_factory=Supply)
    places: Mapping[str, int] = field(default_factory=dict, repr=False)  # names may be secrets of the PDF
    planned_nodes: int | None = None

    @property
    def is_noted(self) -> bool:
        """Whether anything is noted of the POD."""
        return self.site is not None

    @property
    def site(self) -> Site | None:
        """None where nobody knows it yet."""
        if self.provider is ProviderName.EXISTING:
            return Site(self.provider)
        return Site(ProviderName.LIBVIRT, self.uri) if self.uri is not None else None

    def of_any_release(self) -> Recalled:
        """What holds for another release, too."""
        return replace(
            self,
            release=None,
            base_os=None,
            bundle=None,
            bundle_digest=None,
            image_archives=(),
            manifest_patch=None,
            supply=self.supply.of_any_release(),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: bytes | str) -> Recalled:
        """Reads what `to_json` wrote; names of other versions of iecpod are passed over.

        Raises `ValueError` for anything else.
        """
        note = parse_json(text, ValueError)
        found = note.members()
        values: dict[str, Any] = {
            known.name: _READERS.get(known.name, Json.as_text)(found[known.name])
            for known in fields(cls)
            if known.name in found
        }
        if "baked" in found:  # as it was written before a bundle could come on a disk
            values.setdefault("bundle_via", BundleVia.IMAGE if found["baked"].as_flag() else BundleVia.SSH)
        values.setdefault("disposable", True)  # as every POD was before there was a choice
        return cls(**values)


def _read_supply(found: Json) -> Supply:
    """A field is read as that which it is when empty."""
    members, empty = found.members(), Supply()
    values: dict[str, Any] = {}
    for known in fields(Supply):
        if known.name in members:
            value, default = members[known.name], getattr(empty, known.name)
            if isinstance(default, Mapping):
                values[known.name] = {name: inner.as_text() for name, inner in value.members().items()}
            elif isinstance(default, tuple):
                values[known.name] = tuple(entry.as_text() for entry in value.as_entries())
            else:
                values[known.name] = value.as_text()
    return Supply(**values)


#: Of what is no text.
_READERS: dict[str, Callable[[Json], object]] = {
    "provider": lambda found: ProviderName(found.as_text()),
    "user": lambda found: check_user(found.as_text()),
    "uri": lambda found: parse_connect(found.as_text()),
    "virt_type": lambda found: VirtType(found.as_text()),
    "vcpus": Json.as_integer,
    "memory_mib": Json.as_integer,
    "disposable": Json.as_flag,
    "bundle_via": lambda found: BundleVia(found.as_text()),
    "calico_encapsulation": lambda found: Encapsulation(found.as_text()),
    "bundle": lambda found: check_digest(found.as_text()),
    "image_archives": lambda found: tuple(check_archive_digest(one.as_text()) for one in found.as_entries()),
    "manifest_patch": read_environments,
    "supply": _read_supply,
    "places": lambda found: {name: place.as_integer() for name, place in found.members().items()},
    "planned_nodes": Json.as_integer,
}


def fixed_differences(known: Recalled, wanted: Recalled) -> tuple[str, ...]:
    """What a POD that lives cannot become, as words that go on from `was deployed`."""
    return tuple(
        f"{how} {_shown(getattr(known, name))}, not {_shown(getattr(wanted, name))}"
        for name, how in _FIXED.items()
        if getattr(known, name) not in (None, getattr(wanted, name))
    )


def _shown(value: object) -> object:
    if isinstance(value, tuple):
        return f"`{'; '.join(map(str, value))}`" if value else "none"
    return value.value if isinstance(value, (Encapsulation, ProviderName)) else value


def check_recalled(ref: PodRef, known: Recalled, wanted: Recalled) -> None:
    """Raises `UsageError` where a POD that lives is asked to be one that it cannot become."""
    differing = fixed_differences(known, wanted)
    if differing:
        raise UsageError(
            f"POD {ref} was deployed {'; '.join(differing)}",
            "recreate it with `iecpod redeploy`, or leave the option out",
        )
