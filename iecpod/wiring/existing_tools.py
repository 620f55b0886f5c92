"""What the provider of existing machines needs, with the real adapters behind it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iecpod.errors import HostError, IecpodError, NodeUnreachable
from iecpod.files.reader import read_own
from iecpod.files.writer import PRIVATE, replace_file
from iecpod.model import Arch
from iecpod.ports import BundleFiles, NodeEndpoint, Shell
from iecpod.providers.context import ProviderContext
from iecpod.providers.existing.way import DirectWay
from iecpod.release.release import Release
from iecpod.release.scenario import Role
from iecpod.ssh.connection import SshConnection
from iecpod.ssh.host_keys import known_host_keys, offered_host_key
from iecpod.ssh.keys import PodKeys, find_pod_keys
from iecpod.ssh.shell import SshShell
from iecpod.ssh_login import HostKey, Login
from iecpod.wiring.cached_software import CachedSoftware

_PORT = 22
_TCP_SECONDS = 10.0


class KeyedNodes(Protocol):
    """Nodes that are reached by the POD's own key."""

    def keys(self) -> PodKeys: ...

    def shell(self, node: NodeEndpoint) -> Shell: ...


class LoginAccess:
    """`FirstAccess`."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.direct_way = DirectWay()

    def first_shell(self, endpoint: NodeEndpoint) -> Shell:
        return SshShell(
            SshConnection(
                endpoint.hostname,
                str(endpoint.address),
                user=endpoint.user,
                private_key_file=Path(),
                host_key=endpoint.host_key,
                open_socket=endpoint.way.open_socket,
                login=self.login,
                mismatch_remedy=endpoint.mismatch_remedy,
            )
        )

    def offered_host_key(self, node: str, address: str, preferred: tuple[str, ...]) -> HostKey:
        try:
            connection = self.direct_way.open_socket(address, _PORT, _TCP_SECONDS)
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise NodeUnreachable(
                node, f"nothing answers at {address}:{_PORT}: {reason}", "see whether sshd runs there, and its address"
            ) from error
        return offered_host_key(node, connection, preferred)

    def known_host_keys(self, address: str) -> tuple[frozenset[HostKey], frozenset[HostKey]]:
        return known_host_keys(self.login.known_hosts, address, _PORT)


@dataclass(frozen=True, slots=True)
class OwnKey:
    """`PodKey`."""

    nodes: KeyedNodes
    keys_dir: Path

    def authorized_key(self) -> str:
        return self.nodes.keys().authorized_key

    def has_keys(self) -> bool:
        return find_pod_keys(self.keys_dir) is not None

    def shell(self, endpoint: NodeEndpoint) -> Shell:
        return self.nodes.shell(endpoint)


@dataclass(frozen=True, slots=True)
class NoteFiles:
    """`Notes`."""

    directory: Path

    def read_note(self, name: str) -> bytes | None:
        path = self.directory / name
        try:
            return read_own(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(f"{path} cannot be read: {error.strerror}", "check its owner and permissions") from error

    def write_note(self, name: str, content: str) -> None:
        path = self.directory / name
        try:
            replace_file(path, content, PRIVATE)
        except OSError as error:
            raise HostError(f"{path} cannot be written: {error.strerror}", "make room there") from error


class ExistingAdapters:
    """`ExistingTools`."""

    def __init__(
        self,
        run: ProviderContext,
        nodes: KeyedNodes,
        software: CachedSoftware,
        login: Login,
        refused: dict[str, IecpodError],
    ) -> None:
        self.run = run
        self.refused = refused
        self.access = LoginAccess(login)
        self.pod_key = OwnKey(nodes, run.pod_dir / "keys")
        self.note_files = NoteFiles(run.pod_dir)
        self._software = software

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        return self._software.bundle(release, arch, role)

    def wall_time(self) -> float:
        return time.time()
