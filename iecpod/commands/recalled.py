"""What a POD was deployed with, kept in its directory: later commands need no options, a teardown no descriptors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from iecpod.design.bundle_manifest import check_digest
from iecpod.design.delivery import BundleVia
from iecpod.design.resources import VirtType
from iecpod.design.supply import Supply
from iecpod.errors import UsageError
from iecpod.hypervisor_uri import HypervisorUri, parse_connect
from iecpod.model import PodRef

#: What a POD cannot change while it lives, and how a sentence says it. For all else the plan tells what would change.
_FIXED = {
    "uri": "on",
    "addressing": "with addresses",
    "scenario": "as scenario",
    "release": "with release",
    "base_os": "on base image",
    "pod_cidr": "with the pod CIDR",
    "service_cidr": "with the service CIDR",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Options of the POD's deploy, defaults filled in; None where it was not deployed, or the option was left open.

    `addressing` is `fuel` or `compact`; sizes replace those of the PDF. Without a `virt_type` it is to be found
    out, without `bundle_via` the release has no bundle. `bundle` is the digest of one that was given (--bundle),
    `bundle_digest` the one that was demanded, `bundle_signers` the file of those who may sign it. `disposable` is as in
    `DesiredDomain`.
    """

    uri: HypervisorUri | None = None
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
    bundle: str | None = None
    bundle_digest: str | None = None
    bundle_signers: str | None = None
    supply: Supply = field(default_factory=Supply)

    def of_any_release(self) -> Recalled:
        """What holds for another release, too."""
        return replace(
            self, release=None, base_os=None, bundle=None, bundle_digest=None, supply=self.supply.of_any_release()
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Recalled:
        """Reads what `to_json` wrote; names of other versions of iecpod are passed over.

        Raises `ValueError` or `TypeError` for anything else.
        """
        written = json.loads(text)
        data = _known_fields(cls, written)
        if written.get("baked") is not None:  # as it was written before a bundle could come on a disk
            data.setdefault("bundle_via", "image" if written["baked"] else "ssh")
        data.setdefault("disposable", True)  # as every POD was before there was a choice
        supply: dict[str, Any] = _known_fields(Supply, data.pop("supply", {}))
        for name, value in supply.items():
            supply[name] = tuple(value) if isinstance(value, list) else value
        readers: dict[str, Callable[[str], object]] = {
            "uri": parse_connect,
            "virt_type": VirtType,
            "bundle_via": BundleVia,
            "bundle": check_digest,
        }
        for name, read in readers.items():
            if data.get(name) is not None:
                data[name] = read(data[name])
        return cls(**data, supply=Supply(**supply))


def _known_fields(of: type[Recalled] | type[Supply], data: dict[str, Any]) -> dict[str, Any]:
    return {known.name: data[known.name] for known in fields(of) if known.name in data}


def fixed_differences(known: Recalled, wanted: Recalled) -> tuple[str, ...]:
    """What a POD that lives cannot become, as words that go on from `was deployed`."""
    return tuple(
        f"{how} {getattr(known, name)}, not {getattr(wanted, name)}"
        for name, how in _FIXED.items()
        if getattr(known, name) not in (None, getattr(wanted, name))
    )


def check_recalled(ref: PodRef, known: Recalled, wanted: Recalled) -> None:
    """Raises `UsageError` where a POD that lives is asked to be one that it cannot become."""
    differing = fixed_differences(known, wanted)
    if differing:
        raise UsageError(
            f"POD {ref} was deployed {'; '.join(differing)}",
            "make it anew with `iecpod redeploy`, or leave the option out",
        )
