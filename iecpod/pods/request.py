"""What a command line asks for, as values; nothing is read yet."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from iecpod.hypervisor_uri import EMBEDDED
from iecpod.model import PodRef
from iecpod.options.option import Source
from iecpod.options.option_table import DEFAULTS, PodOptions
from iecpod.ssh_login import Login

#: The phases that every deploy ends with, in order; those before are the provider's (`Provider.phase_names`).
CLUSTER_PHASES = (*("runtime", "control-plane", "kubeconfig", "cni", "workers", "ready", "prune", "helm", "verify"),)


@dataclass(frozen=True, slots=True)
class DefaultSoftware:
    """A release, and the scenario whose pod network it is used with."""

    release: str
    scenario: str


@dataclass(frozen=True, slots=True)
class LabDefaults:
    """`options` are those that the lab has its own default of, and `software` is in the order of preference.

    The first release whose sources answer is the default. `source` is the lab, or unspecified.
    """

    options: PodOptions
    software: tuple[DefaultSoftware, ...]
    source: Source

    def in_order_for(self, release: str | None) -> tuple[DefaultSoftware, ...]:
        """Where the release is one of the lab's own, with that first."""
        return tuple(sorted(self.software, key=lambda one: one.release != release))

    def with_software(self, software: DefaultSoftware) -> PodOptions:
        return replace(self.options, release=software.release, scenario=software.scenario)


assert DEFAULTS.release and DEFAULTS.scenario
_CONNECTED_LAB = LabDefaults(PodOptions(), (DefaultSoftware(DEFAULTS.release, DEFAULTS.scenario),), Source.DEFAULT)
#: The lab of the PODs that `iecpod bootstrap` describes.
BOOTSTRAP_LAB = "nodes"

_LABS = {
    "local": LabDefaults(
        PodOptions(uri=EMBEDDED, disposable=True),
        (
            DefaultSoftware("k8s-1.37-go", "k8-kube-router-iec-noha"),
            DefaultSoftware("debian12", "k8-bridge-iec-noha"),
        ),
        Source.LAB,
    )
}


def lab_defaults(lab: str) -> LabDefaults:
    """Lab `local` works on a machine that reaches package registries only; other labs are as the IEC's."""
    return _LABS.get(lab, _CONNECTED_LAB)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFiles:
    """Files that options name, and that become values of `PodOptions` once they are read."""

    bundle: Path | None = None
    image_archives: tuple[Path, ...] = ()
    manifest_patch: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """`options` are those that were given, and `files` those that are to be read; all else is of this run alone.

    Errors of the `demoted` rules are warnings. `eyaml_keys` are the files of hiera-eyaml's private and public key.
    `limits` are seconds for whole phases, by name; `lock_seconds` is how long another run on the POD is waited for.
    `naming` are the arguments that name the POD, as they were given. `until` is the last phase to run (None: all of
    them). Where `may_create` is false, machines and networks must be there. With `prune`, nodes that left the PDF
    are removed. `login` is what was given to log in to machines that are there already. `software` is the default of
    the lab that is available here, None for its first.
    """

    ref: PodRef
    options: PodOptions = field(default_factory=PodOptions)
    files: GivenFiles = field(default_factory=GivenFiles)
    software: DefaultSoftware | None = None
    login: Login = field(default_factory=Login)
    eyaml_keys: tuple[str | None, str | None] = (None, None)
    demoted: frozenset[str] = frozenset()
    until: str | None = None
    may_create: bool = True
    prune: bool = False
    limits: tuple[tuple[str, float], ...] = ()
    lock_seconds: float = 0.0
    naming: tuple[str, ...] = ()

    @property
    def stops_before_kubernetes(self) -> bool:
        """Whether only machines and networks are asked for."""
        return self.until is not None and self.until not in CLUSTER_PHASES

    def command(self, verb: str, *arguments: str) -> str:
        """A command line for the same POD."""
        naming = self.naming or ("-l", self.ref.lab, "-p", self.ref.pod)
        return shlex.join(["iecpod", verb, *naming, *arguments])
