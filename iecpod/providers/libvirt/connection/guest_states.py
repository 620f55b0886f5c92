"""Memory and disks of guests at one instant: `GuestStates` over one libvirt connection."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from iecpod.errors import HostError
from iecpod.providers.libvirt.connection.errors import translate_errors
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.qemu_account import Account

_ROOT_DISK = "vda"
_LOOK_SECONDS = 0.2
#: Pulling some GiB into an overlay, on a slow disk.
_PULL_SECONDS = 900.0

#: Nothing of it is kept in libvirt: what it makes, iecpod knows of.
_AT_ONCE = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
)
_AS_DEFINED = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


class LibvirtGuestStates:
    """What `LibvirtHypervisor` does with the states of domains."""

    _connection: Any
    _account: Account | None

    def _ours(self, kind: Kind, name: str) -> Any:
        raise NotImplementedError

    def emulator_version(self) -> str:
        with translate_errors("ask for the version of QEMU"):
            version = self._connection.getVersion()
        return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"

    def cpu_model(self) -> str:
        with translate_errors("describe the host's processors"):
            host = ElementTree.fromstring(self._connection.getCapabilities())
        return " ".join(host.findtext(f"host/cpu/{part}", "") for part in ("vendor", "model"))

    def pause(self, name: str) -> None:
        with translate_errors(f"pause domain {name}"):
            domain = self._ours(Kind.DOMAIN, name)
            if domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING:
                domain.suspend()

    def save_state(self, name: str, overlay: str, memory: str | None) -> None:
        flags = _AT_ONCE | (libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY if memory is None else 0)
        with translate_errors(f"save the state of domain {name}"):
            domain = self._ours(Kind.DOMAIN, name)
            domain.snapshotCreateXML(_snapshot_xml(_disk_targets(domain), overlay, memory), flags)

    def load_state(self, name: str, memory: str) -> None:
        with translate_errors(f"load the memory of domain {name}"):
            definition = self._ours(Kind.DOMAIN, name).XMLDesc(_AS_DEFINED)
            self._connection.restoreFlags(memory, definition, libvirt.VIR_DOMAIN_SAVE_PAUSED)

    def stop(self, name: str) -> None:
        with translate_errors(f"stop domain {name}"):
            domain = self._ours(Kind.DOMAIN, name)
            if domain.isActive():
                domain.destroy()

    def pull(self, name: str, base: str) -> None:
        with translate_errors(f"flatten the disk of domain {name}"):
            domain = self._ours(Kind.DOMAIN, name)
            domain.blockRebase(_ROOT_DISK, base, 0, 0)
            deadline = time.monotonic() + _PULL_SECONDS
            while domain.blockJobInfo(_ROOT_DISK):
                if time.monotonic() > deadline:
                    domain.blockJobAbort(_ROOT_DISK)
                    raise HostError(f"the disk of domain {name} could not be flattened within {_PULL_SECONDS:.0f} s")
                time.sleep(_LOOK_SECONDS)

    def seal(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, 0, self._account.gid, follow_symlinks=False)
        path.chmod(0o440)

    def place_nvram(self, source: Path, target: Path) -> None:
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o600)
        if self._account is not None:
            self._account.give(target)


def _disk_targets(domain: Any) -> list[str]:
    root = ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    return [target.get("dev", "") for target in root.iterfind("./devices/disk/target")]


def _snapshot_xml(targets: list[str], overlay: str, memory: str | None) -> str:
    snapshot = ElementTree.Element("domainsnapshot")
    if memory is not None:
        ElementTree.SubElement(snapshot, "memory", snapshot="external", file=memory)
    disks = ElementTree.SubElement(snapshot, "disks")
    for target in targets:
        if target == _ROOT_DISK:
            disk = ElementTree.SubElement(disks, "disk", name=target, snapshot="external", type="file")
            ElementTree.SubElement(disk, "driver", type="qcow2")
            ElementTree.SubElement(disk, "source", file=overlay)
        else:
            ElementTree.SubElement(disks, "disk", name=target, snapshot="no")
    return ElementTree.tostring(snapshot, encoding="unicode")
