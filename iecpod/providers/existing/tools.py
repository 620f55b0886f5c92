"""What this provider needs beside SSH; `wiring` makes it, tests make fakes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from iecpod.design.release import Release
from iecpod.design.scenario import Role
from iecpod.model import Arch
from iecpod.ports import BundleFiles, NodeEndpoint, Shell, WayIn
from iecpod.providers.context import ProviderContext
from iecpod.ssh_login import HostKey, Login


class ExistingTools(ProviderContext, Protocol):
    @property
    def login(self) -> Login:
        """What was given to log in with, before nodes know the POD's key."""

    @property
    def direct_way(self) -> WayIn: ...

    def authorized_key(self) -> str:
        """The POD's public key, made where it is missing; a line of authorized_keys."""

    def has_keys(self) -> bool:
        """Whether the POD's key was made by a deploy from here."""

    def shells(self, endpoints: Mapping[str, NodeEndpoint]) -> Mapping[str, Shell]:
        """By the POD's own key, with pinned host keys."""

    def first_shell(self, endpoint: NodeEndpoint) -> Shell:
        """By `login`, with a pinned host key."""

    def offered_host_key(self, node: str, address: str, preferred: tuple[str, ...]) -> HostKey:
        """Raises `NodeUnreachable`."""

    def known_host_keys(self, address: str) -> tuple[frozenset[HostKey], frozenset[HostKey]]:
        """Those that known_hosts files have of an address, and those that they revoke."""

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        """What nodes of a role are given that reach no network, made if it is not cached. Raises `ImageError`."""

    def wall_time(self) -> float:
        """Unix time."""

    def read_note(self, name: str) -> bytes | None:
        """A file of the provider's in the POD's directory; None where there is none. Raises `HostError`."""

    def write_note(self, name: str, content: str) -> None:
        """For the owner only. Raises `HostError`."""
