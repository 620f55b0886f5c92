"""What a command line asks for, as values; nothing is read yet."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from iecpod.hypervisor_uri import EMBEDDED, HypervisorUri
from iecpod.model import PodRef
from iecpod.ssh_login import Login

if TYPE_CHECKING:
    from iecpod.descriptors.addressing import Scheme
    from iecpod.design.delivery import BundleVia
    from iecpod.design.machines import ProviderName, VirtType
    from iecpod.design.release import Encapsulation
    from iecpod.design.supply import Supply

DEFAULT_POD_CIDR = "100.100.0.0/16"
DEFAULT_SERVICE_CIDR = "172.16.1.0/24"

#: The phases of a deploy, in order.
PHASES = (
    *("image", "networks", "storage", "domains", "reachable", "runtime"),
    *("control-plane", "kubeconfig", "cni", "workers", "ready", "prune", "helm", "verify"),
)


@dataclass(frozen=True, slots=True)
class DefaultSoftware:
    """A release, and the scenario whose pod network it is used with."""

    release: str
    scenario: str


@dataclass(frozen=True, slots=True)
class LabDefaults:
    """`connect` None takes the libvirt URI from the nodes' `remote_management.address`.

    `software` is in the order of preference: the first whose sources answer is the lab's default. A crash of the host
    may cost a `disposable` POD.
    """

    connect: HypervisorUri | None
    software: tuple[DefaultSoftware, ...]
    disposable: bool

    def in_order_for(self, release: str | None) -> tuple[DefaultSoftware, ...]:
        """Where the release is one of the lab's own, with that first."""
        return tuple(sorted(self.software, key=lambda one: one.release != release))


_CONNECTED_LAB = LabDefaults(None, (DefaultSoftware("k8s-1.37", "k8-calico-iec-noha"),), disposable=False)
_LABS = {
    "local": LabDefaults(
        EMBEDDED,
        (
            DefaultSoftware("k8s-1.37-go", "k8-kube-router-iec-noha"),
            DefaultSoftware("debian12", "k8-bridge-iec-noha"),
        ),
        disposable=True,
    )
}


def lab_defaults(lab: str) -> LabDefaults:
    """Lab `local` works on a machine that reaches package registries only; other labs are as the IEC's."""
    return _LABS.get(lab, _CONNECTED_LAB)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """Options as given; None where what the POD was deployed with applies, or else the default.

    `virt_type` None is `auto`. `vcpus` and `memory_mib` replace the sizes of every node in the PDF. Errors of the
    `demoted` rules are warnings. `eyaml_keys` are the files of hiera-eyaml's private and public key.
    `limits` are seconds for whole phases, by name; `lock_seconds` is how long another run on the POD is waited for.
    `options` are those that name the POD, as they were given. `base_os` chooses a variant of the release; `supply` is
    None where none of its options is given. `bundle_file` is what was given, `bundle` its digest once it has been taken
    into the cache; `bundle_digest` and `bundle_signers` are what is demanded of it. So `image_archive_files` become
    `image_archives`, None where none is given. `until` is the last phase to run (None: all of `PHASES`). Where
    `may_create` is false, machines and networks must be there. With `prune`, nodes that left the PDF are removed.
    `login` is what was given to log in to machines that are there already.
    """

    ref: PodRef
    base_uri: str | None = None
    scenario: str | None = None
    release: str | None = None
    connect: HypervisorUri | None = None
    provider: ProviderName | None = None
    login: Login = field(default_factory=Login)
    virt_type: VirtType | None = None
    pod_cidr: str | None = None
    service_cidr: str | None = None
    addressing: Scheme | None = None
    vcpus: int | None = None
    memory_mib: int | None = None
    disposable: bool | None = None
    bundle_via: BundleVia | None = None
    calico_encapsulation: Encapsulation | None = None
    eyaml_keys: tuple[str | None, str | None] = (None, None)
    demoted: frozenset[str] = frozenset()
    base_os: str | None = None
    supply: Supply | None = None
    bundle_file: Path | None = None
    bundle: str | None = None
    bundle_digest: str | None = None
    bundle_signers: str | None = None
    image_archive_files: tuple[Path, ...] = ()
    image_archives: tuple[str, ...] | None = None
    manifest_patch_file: Path | None = None
    until: str | None = None
    may_create: bool = True
    prune: bool = False
    limits: tuple[tuple[str, float], ...] = ()
    lock_seconds: float = 0.0
    options: tuple[str, ...] = ()

    @property
    def stops_before_kubernetes(self) -> bool:
        """Whether only machines and networks are asked for."""
        return self.until is not None and PHASES.index(self.until) < PHASES.index("runtime")

    def command(self, verb: str, *arguments: str) -> str:
        """A command line for the same POD."""
        options = self.options or ("-l", self.ref.lab, "-p", self.ref.pod)
        return shlex.join(["iecpod", verb, *options, *arguments])
