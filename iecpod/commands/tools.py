"""What commands need from the outside world for one POD; the composition root makes it, tests make fakes of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from iecpod.descriptors.addressing import Scheme
from iecpod.design.cluster import DesiredCluster
from iecpod.design.release import AptRepository, Release
from iecpod.design.resources import Emulator, Seed
from iecpod.model import Arch, PodRef
from iecpod.ports import BaseImage, Clock, HypervisorHost, Images, Reporter, Shell
from iecpod.render.manifest import PatchedManifest
from iecpod.render.pod import NodeSecrets


class PodTools(Protocol):
    """Everything is about the one POD `ref`, whose own files are in `pod_dir` (mode 0700)."""

    @property
    def ref(self) -> PodRef: ...

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
        """Held by at most one run a POD. Raises `PodLocked`."""

    def host(self, uri: str) -> HypervisorHost: ...

    def images(self, release: Release) -> Images: ...

    def kvm_boots(self, image: BaseImage, emulator: Emulator, arch: Arch) -> bool:
        """Whether KVM, where libvirt lists it, really boots this image's kernel."""

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        """The POD's keys, made where they are missing; with `keep` false missing ones are not written down."""

    def shells(self, host: HypervisorHost, cluster: DesiredCluster) -> Mapping[str, Shell]: ...

    def make_seed(self, seed: Seed) -> bytes: ...

    def read_console(self, path: str) -> str: ...

    def fetch_key(self, repository: AptRepository) -> bytes: ...

    def calico_manifest(self, cluster: DesiredCluster) -> PatchedManifest: ...

    def free_bytes(self, path: str) -> int: ...

    def remember(self, uri: str, addressing: Scheme) -> None:
        """Notes where the POD is and how it is addressed: later commands need no options, a teardown no descriptors.

        Raises `UsageError` where something else is noted.
        """

    def remove_pod_dir(self) -> None: ...
