"""What commands need from the outside world for one POD; the composition root makes it, tests make fakes of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from iecpod.commands.recalled import Recalled
from iecpod.design.cluster import DesiredCluster
from iecpod.design.delivery import BundleVia
from iecpod.design.ownership import Owner
from iecpod.design.release import AptRepository, Release
from iecpod.design.resources import Emulator, Seed
from iecpod.hypervisor_uri import HypervisorUri
from iecpod.model import Arch, PodRef
from iecpod.ports import (
    BaseImage,
    BundleDisks,
    BundleFiles,
    Clock,
    HostKubectl,
    HypervisorHost,
    Images,
    LockHolder,
    Reporter,
    Shell,
)
from iecpod.render.manifest import PatchedManifest
from iecpod.render.pod import NodeSecrets


class PodTools(Protocol):
    """Everything is about the one POD `ref`, whose own files are in `pod_dir` (mode 0700)."""

    @property
    def ref(self) -> PodRef: ...

    @property
    def owner(self) -> Owner:
        """Whose objects are the POD's: it, deployed from this state directory."""

    @property
    def run_id(self) -> str:
        """Marks what this run makes and tells."""

    @property
    def pod_dir(self) -> Path: ...

    @property
    def kubeconfig_path(self) -> Path: ...

    @property
    def cloud_init_dir(self) -> Path: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def reporter(self) -> Reporter: ...

    def lock(self) -> AbstractContextManager[None]:
        """Held by at most one run a POD; who holds it may take it again. Raises `PodLocked`."""

    def holder(self) -> LockHolder | None:
        """Who holds the lock, found out without taking it."""

    def host(self, uri: HypervisorUri) -> HypervisorHost: ...

    def images(self, release: Release, bundle_via: BundleVia | None) -> Images:
        """With `BundleVia.IMAGE`, the software of nodes that reach no network is in their image already."""

    def bundle_disks(self, release: Release) -> BundleDisks:
        """What nodes are given that reach no network, as disks."""

    def bundle(self, release: Release, arch: Arch) -> BundleFiles:
        """What nodes are given that reach no network, made if it is not cached. Raises `ImageError`."""

    def kvm_boots(self, image: BaseImage, emulator: Emulator, arch: Arch) -> bool:
        """Whether KVM, where libvirt lists it, really boots this image's kernel."""

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        """The POD's keys, made where they are missing; with `keep` false missing ones are not written down."""

    def shells(self, host: HypervisorHost, cluster: DesiredCluster) -> Mapping[str, Shell]: ...

    def shells_at(self, host: HypervisorHost, addresses: Mapping[str, IPv4Address], user: str) -> Mapping[str, Shell]:
        """As `shells`, for nodes of which no more is known than where they are."""

    def make_seed(self, seed: Seed) -> bytes: ...

    def read_console(self, path: str) -> str: ...

    def fetch_key(self, repository: AptRepository) -> bytes: ...

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        """Of a pod network that is made by manifest. Raises `ImageError`, `DescriptorError`."""

    def host_kubectl(self, host: HypervisorHost, release: Release) -> HostKubectl | None:
        """None where the release's kubectl does not run on this host."""

    def helm_programs(self, release: Release, arch: Arch) -> tuple[Path, ...]:
        """Files of this machine, fetched if they are not cached. Raises `ImageError`."""

    def free_bytes(self, path: str) -> int: ...

    def remember(self, chosen: Recalled) -> None:
        """Notes what the POD is deployed with."""

    def recall(self) -> Recalled:
        """What was noted of the POD; nothing where it was not deployed from here."""

    def remove_pod_dir(self) -> None: ...
