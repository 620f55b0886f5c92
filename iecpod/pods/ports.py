"""What commands need from the outside world for one POD, by job; `wiring` makes it, tests make fakes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import PatchedManifest
from iecpod.model import Arch, PodRef
from iecpod.options.site import Site
from iecpod.pods.saved import SavedPod
from iecpod.ports import ApiServer, BundleFiles, Clock, HostKubectl, LockHolder, NodeEndpoint, Reporter, Shell, WayIn
from iecpod.provider import Provider
from iecpod.release.release import AptRepository, Release
from iecpod.release.scenario import Role
from iecpod.render.kubeconfig import Credentials

FindCredentials = Callable[[], Credentials | None]


class RunContext(Protocol):
    """The run of a command, and the one POD that everything is about."""

    @property
    def ref(self) -> PodRef: ...

    @property
    def run_id(self) -> str:
        """Marks what this run makes and reports."""

    @property
    def clock(self) -> Clock: ...

    @property
    def reporter(self) -> Reporter: ...


class PodState(Protocol):
    """What is kept of the POD on this host: its lock, and its directory `pod_dir` (mode 0700)."""

    @property
    def pod_dir(self) -> Path: ...

    @property
    def kubeconfig_path(self) -> Path: ...

    def lock(self) -> AbstractContextManager[None]:
        """Held by at most one run a POD, and taken once. Raises `PodLocked`."""

    def holder(self) -> LockHolder | None:
        """Who holds the lock, found out without taking it."""

    def save(self, pod: SavedPod) -> None:
        """What the POD is deployed with."""

    def saved(self) -> SavedPod:
        """What was saved of the POD; nothing where it was not deployed from here."""

    def remove_pod_dir(self) -> None: ...


class NodeAccess(Protocol):
    """Where the POD's machines come from, and how they are reached."""

    def provider(self, site: Site) -> Provider:
        """Raises `ResourceConflict` where the POD's directory is not one of iecpod's: it will be filled, or removed."""

    def shells(self, endpoints: Mapping[str, NodeEndpoint]) -> Mapping[str, Shell]:
        """By the POD's own key, with pinned host keys."""

    def shell(self, node: NodeEndpoint) -> Shell:
        """One more of a node, as those are."""

    def host_kubectl(self, way: WayIn, release: Release) -> HostKubectl | None:
        """None where the release's kubectl does not run on this host."""

    def api_server(
        self, cluster: DesiredCluster, way: WayIn, first: Shell, find_credentials: FindCredentials | None
    ) -> ApiServer | None:
        """By `way` or through the node `first`; None where it is to be asked there only.

        Credentials are those of the POD's kubeconfig, unless there is another way to find them.
        """


class PodSoftware(Protocol):
    """What the POD's nodes and its cluster get, from the cache or fetched into it."""

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        """What nodes of a role are given that reach no network, made if it is not cached; of any role with None.

        Raises `ImageError`.
        """

    def fetch_key(self, repository: AptRepository) -> bytes: ...

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        """Of a pod network that is made by manifest. Raises `ImageError`, `DescriptorError`."""

    def helm_programs(self, release: Release, arch: Arch) -> tuple[Path, ...]:
        """Files of this machine, fetched if they are not cached. Raises `ImageError`."""


class PodTools(Protocol):
    """All of it, for commands that need more than one part."""

    @property
    def run(self) -> RunContext: ...

    @property
    def state(self) -> PodState: ...

    @property
    def nodes(self) -> NodeAccess: ...

    @property
    def software(self) -> PodSoftware: ...
