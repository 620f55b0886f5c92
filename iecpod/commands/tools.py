"""What commands need from the outside world for one POD; `wiring` makes it, tests make fakes of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from iecpod.commands.recalled import Recalled
from iecpod.design.cluster import DesiredCluster
from iecpod.design.machines import Site
from iecpod.design.manifest_text import PatchedManifest
from iecpod.design.release import AptRepository, Release
from iecpod.model import Arch, PodRef
from iecpod.ports import ApiServer, BundleFiles, Clock, HostKubectl, LockHolder, NodeEndpoint, Reporter, Shell, WayIn
from iecpod.provider import Provider


class PodTools(Protocol):
    """Everything is about the one POD `ref`, whose own files are in `pod_dir` (mode 0700)."""

    @property
    def ref(self) -> PodRef: ...

    @property
    def run_id(self) -> str:
        """Marks what this run makes and tells."""

    @property
    def pod_dir(self) -> Path: ...

    @property
    def kubeconfig_path(self) -> Path: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def reporter(self) -> Reporter: ...

    def lock(self) -> AbstractContextManager[None]:
        """Held by at most one run a POD; who holds it may take it again. Raises `PodLocked`."""

    def holder(self) -> LockHolder | None:
        """Who holds the lock, found out without taking it."""

    def provider(self, site: Site) -> Provider:
        """Raises `ResourceConflict` where the POD's directory is not one of iecpod's: it will be filled, or removed."""

    def shells(self, endpoints: Mapping[str, NodeEndpoint]) -> Mapping[str, Shell]:
        """By the POD's own key, with pinned host keys."""

    def bundle(self, release: Release, arch: Arch) -> BundleFiles:
        """What nodes are given that reach no network, made if it is not cached. Raises `ImageError`."""

    def fetch_key(self, repository: AptRepository) -> bytes: ...

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        """Of a pod network that is made by manifest. Raises `ImageError`, `DescriptorError`."""

    def host_kubectl(self, way: WayIn, release: Release) -> HostKubectl | None:
        """None where the release's kubectl does not run on this host."""

    def api_server(self, cluster: DesiredCluster, way: WayIn, first: Shell) -> ApiServer | None:
        """Of the POD's kubeconfig, by `way` or through the node `first`. None where it is to be asked there only."""

    def helm_programs(self, release: Release, arch: Arch) -> tuple[Path, ...]:
        """Files of this machine, fetched if they are not cached. Raises `ImageError`."""

    def remember(self, chosen: Recalled) -> None:
        """Notes what the POD is deployed with."""

    def recall(self) -> Recalled:
        """What was noted of the POD; nothing where it was not deployed from here."""

    def remove_pod_dir(self) -> None: ...
