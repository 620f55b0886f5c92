"""What the daemons of an embedded hypervisor see of the host's files: a mount namespace, made by a script of sh."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Where things wait while what they are below is covered; it goes before the daemon starts.
_PARKED = "/run/libvirt/iecpod"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateMounts:
    """`over` is what takes the place of a path of the host's; `/run/libvirt` is one of them.

    QEMU has to reach `needed`, which exist, and is kept from them by `barriers`, directories that it may not pass
    through: in the place of each it finds one with nothing below but what it needs. `kvm` is the number of the host's
    KVM device (major, minor), of which `kvm_owner` gets one for itself.
    """

    over: Mapping[str, Path]
    needed: tuple[Path, ...]
    barriers: tuple[Path, ...]
    kvm: tuple[int, int] | None
    kvm_owner: str

    def argv(self, daemon: list[str]) -> list[str]:
        # `slave`: what the host unmounts, such as the namespace of another POD, must not live on in our copy.
        unshare = ["unshare", "--mount", "--propagation", "slave", "sh", "-ec"]
        return [*unshare, "\n".join([*self._script(), 'exec "$@"']), "sh", *daemon]

    def _script(self) -> Iterator[str]:
        """The new /sys shows the devices of our network namespace: in the host's, libvirtd would set the host's bridge
        of the same name. It shows no cgroups, so libvirtd leaves those alone too.
        """
        yield "mount -t sysfs sysfs /sys"
        for target, source in self.over.items():
            to = shlex.quote(target)
            yield f"[ -e {to} ] || mkdir -p {to}"
            yield f"mount --bind {_quoted(source)} {to}"
        yield f"mkdir -p {_PARKED}"
        yield f"mount -t tmpfs -o mode=0700,size=64k tmpfs {_PARKED}"
        yield from self._kvm()
        yield from self._uncovered()
        yield f"umount -R {_PARKED}"

    def _kvm(self) -> Iterator[str]:
        """Hosts without the right to make devices show QEMU the host's own, which it may be able to use or not."""
        if self.kvm is not None:
            major, minor = self.kvm
            yield f"if mknod -m 0600 {_PARKED}/kvm c {major} {minor}; then"
            yield f"chown {self.kvm_owner} {_PARKED}/kvm"
            yield f"mount --bind {_PARKED}/kvm /dev/kvm"
            yield "fi"

    def _uncovered(self) -> Iterator[str]:
        behind = [path for path in self.needed if any(path.is_relative_to(barrier) for barrier in self.barriers)]
        parked = {path: f"{_PARKED}/{index}" for index, path in enumerate(behind)}
        for path, place in parked.items():
            yield f"mkdir {place}"
            yield f"mount --bind {_quoted(path)} {place}"
        for barrier in self.barriers:
            yield f"mount -t tmpfs -o mode=0711,size=64k tmpfs {_quoted(barrier)}"
        for path, place in parked.items():
            yield f"mkdir -p {_quoted(path)}"
            yield f"mount --bind {place} {_quoted(path)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
