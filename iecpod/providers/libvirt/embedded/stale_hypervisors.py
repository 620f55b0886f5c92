"""Embedded hypervisors of this host from outside: those whose POD's directory is gone, and what the others have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from iecpod.design.owner import Owner
from iecpod.errors import CleanupError, IecpodError
from iecpod.model import PodRef
from iecpod.processes import find_processes, started_at
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.providers.libvirt.embedded.namespaces import (
    NAMESPACES,
    NamespaceMark,
    find_alias,
    namespace_name,
)


@dataclass(frozen=True, slots=True)
class Orphan:
    """`newest_at` is when the youngest process in it began, as Unix time; None where none is left.

    `installation` deployed its POD; empty where an earlier version of iecpod did.
    """

    name: str
    pod_dir: Path
    installation: str
    newest_at: float | None

    @property
    def ref(self) -> PodRef:
        return PodRef(self.pod_dir.parent.name, self.pod_dir.name)

    def is_of(self, installation: str, state_dir: Path) -> bool:
        """Whether it was deployed from this state directory."""
        if self.installation:
            return self.installation == installation
        return self.pod_dir.is_relative_to(state_dir)

    def remove(self) -> None:
        """Ends what runs there and takes the namespace away. Raises `CleanupError`."""
        owner = Owner(ref=self.ref, installation=self.installation, pod_dir=self.pod_dir)
        host = EmbeddedHost(self.pod_dir, owner)
        host.stop()
        if left := host.leftovers():
            raise CleanupError(left, "end these processes by hand", "still there")


def find_orphans() -> Iterator[Orphan]:
    for path, mark in _find_embedded():
        if not mark.pod_dir.exists():
            yield Orphan(path.name, mark.pod_dir, mark.installation, _newest_at(path))


def find_embedded_pods() -> list[Path]:
    """Directories of PODs with a hypervisor of their own that is up, in whichever state directory they are."""
    return [mark.pod_dir for _, mark in _find_embedded()]


def find_domain_files(pod_dir: Path) -> list[Path]:
    """What the embedded libvirtd has on record, also while it does not run: the XML of each domain."""
    return sorted((pod_dir / "libvirt" / "etc" / "qemu").glob("*.xml"))


def _find_embedded() -> Iterator[tuple[Path, NamespaceMark]]:
    """Namespace and POD, by the owner that `EmbeddedHost` writes on it; one without is not iecpod's."""
    for path in sorted(NAMESPACES.iterdir()) if NAMESPACES.is_dir() else ():
        # A name without a namespace behind it, one that went while we looked, or an owner that cannot be a POD.
        with suppress(IecpodError):
            mark = NamespaceMark.parse(find_alias(path.name))
            if mark is None or not mark.pod_dir.is_absolute() or ".." in mark.pod_dir.parts:
                continue
            if path.name == namespace_name(PodRef(mark.pod_dir.parent.name, mark.pod_dir.name)):
                yield path, mark


def _newest_at(namespace: Path) -> float | None:
    inode = namespace.stat().st_ino
    processes = find_processes(lambda process: (process / "ns" / "net").stat().st_ino == inode)
    return max((started_at(process.pid) for process in processes), default=None)
