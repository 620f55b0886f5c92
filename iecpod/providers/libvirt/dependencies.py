"""What this provider needs beside libvirt, by job; `wiring` makes it, tests make fakes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iecpod.design.machines import Seed
from iecpod.hypervisor_uri import HypervisorUri
from iecpod.model import Arch
from iecpod.options.choices import BundleVia
from iecpod.ports import BaseImage, BundleDisks, Images
from iecpod.providers.context import ProviderContext
from iecpod.providers.libvirt.objects import Emulator
from iecpod.providers.libvirt.ports import HypervisorHost
from iecpod.release.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSecrets:
    """The POD's public client key, and each host's SSH host key as (private, public) text by host name."""

    authorized_key: str
    host_keys: Mapping[str, tuple[str, str]]


class DiskSources(Protocol):
    """What the disks of machines are made of."""

    def images(self, release: Release, bundle_via: BundleVia | None) -> Images:
        """With `BundleVia.IMAGE`, the software of nodes that reach no network is in their image already."""

    def bundle_disks(self, release: Release) -> BundleDisks:
        """What nodes are given that reach no network, as disks."""

    def kvm_boots(self, image: BaseImage, emulator: Emulator, arch: Arch) -> bool:
        """Whether KVM, where libvirt lists it, really boots this image's kernel."""


class SeedTools(Protocol):
    """What seeds are made of, and by."""

    @property
    def cloud_init_dir(self) -> Path: ...

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        """The POD's keys, made where they are missing; with `keep` false missing ones are not written down."""

    def make_seed(self, seed: Seed) -> bytes: ...


class LibvirtTools(Protocol):
    @property
    def run(self) -> ProviderContext: ...

    @property
    def disk_sources(self) -> DiskSources: ...

    @property
    def seeds(self) -> SeedTools: ...

    def host(self, uri: HypervisorUri) -> HypervisorHost: ...

    def read_console(self, path: str) -> str: ...

    def free_bytes(self, path: str) -> int: ...
