"""What a command line asks for, as values; nothing is read yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iecpod.model import PodRef

if TYPE_CHECKING:
    from iecpod.descriptors.addressing import Scheme
    from iecpod.design.resources import VirtType
    from iecpod.design.supply import Supply

EMBEDDED = "embedded"
DEFAULT_POD_CIDR = "100.100.0.0/16"
DEFAULT_SERVICE_CIDR = "172.16.1.0/24"


@dataclass(frozen=True, slots=True)
class LabDefaults:
    """`connect` None takes the libvirt URI from the nodes' `remote_management.address`."""

    connect: str | None
    scenario: str
    release: str


_CONNECTED_LAB = LabDefaults(None, "k8-calico-iec-noha", "k8s-1.36")
_LABS = {"local": LabDefaults(EMBEDDED, "k8-bridge-iec-noha", "debian12")}


def lab_defaults(lab: str) -> LabDefaults:
    """Lab `local` works on a machine that reaches Debian's packages only; other labs are as the IEC's."""
    return _LABS.get(lab, _CONNECTED_LAB)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """Options as given; None where the lab's default applies. `virt_type` None is `auto`.

    Errors of the `demoted` rules are warnings. `eyaml_keys` are the files of hiera-eyaml's private and public key.
    `base_os` chooses a variant of the release; `supply` None takes everything from where the release has it.
    """

    ref: PodRef
    base_uri: str
    scenario: str | None = None
    release: str | None = None
    connect: str | None = None
    virt_type: VirtType | None = None
    pod_cidr: str = DEFAULT_POD_CIDR
    service_cidr: str = DEFAULT_SERVICE_CIDR
    addressing: Scheme | None = None
    eyaml_keys: tuple[str | None, str | None] = (None, None)
    demoted: frozenset[str] = frozenset()
    base_os: str | None = None
    supply: Supply | None = None
