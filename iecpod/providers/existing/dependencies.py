"""What this provider needs beside SSH, by job; `wiring` makes it, tests make fakes of it."""

from __future__ import annotations

from typing import Protocol

from iecpod.errors import IecpodError
from iecpod.model import Arch
from iecpod.ports import BundleFiles, NodeEndpoint, Shell, WayIn
from iecpod.providers.context import ProviderContext
from iecpod.release.release import Release
from iecpod.release.scenario import Role
from iecpod.ssh_login import HostKey, Login


class FirstAccess(Protocol):
    """How machines are reached before they know the POD's key."""

    @property
    def login(self) -> Login:
        """What was given to log in with."""

    @property
    def direct_way(self) -> WayIn: ...

    def first_shell(self, endpoint: NodeEndpoint) -> Shell:
        """By `login`, with a pinned host key."""

    def offered_host_key(self, node: str, address: str, preferred: tuple[str, ...]) -> HostKey:
        """Raises `NodeUnreachable`."""

    def known_host_keys(self, address: str) -> tuple[frozenset[HostKey], frozenset[HostKey]]:
        """Those that known_hosts files have of an address, and those that they revoke."""


class PodKey(Protocol):
    """The POD's own key, and machines that know it."""

    def authorized_key(self) -> str:
        """The public key, made where it is missing; a line of authorized_keys."""

    def has_keys(self) -> bool:
        """Whether the key was made by a deploy from here."""

    def shell(self, endpoint: NodeEndpoint) -> Shell:
        """With its pinned host key."""


class Notes(Protocol):
    """Files of the provider's in the POD's directory."""

    def read_note(self, name: str) -> bytes | None:
        """None where there is none. Raises `HostError`."""

    def write_note(self, name: str, content: str) -> None:
        """For the owner only. Raises `HostError`."""


class ExistingTools(Protocol):
    @property
    def run(self) -> ProviderContext: ...

    @property
    def access(self) -> FirstAccess: ...

    @property
    def pod_key(self) -> PodKey: ...

    @property
    def note_files(self) -> Notes: ...

    @property
    def refused(self) -> dict[str, IecpodError]:
        """By host name, why machines could not be looked at in this run: none is tried twice."""

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        """What nodes of a role are given that reach no network, made if it is not cached. Raises `ImageError`."""

    def wall_time(self) -> float:
        """Unix time."""
