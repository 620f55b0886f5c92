"""The `Hypervisor` port over one libvirt connection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt

from iecpod.design.owner import Owner
from iecpod.errors import HostError, ResourceConflict
from iecpod.model import Arch
from iecpod.providers.libvirt.connection.errors import GONE, silence_libvirt, translate_errors
from iecpod.providers.libvirt.connection.facts import MACHINES, parse_emulator
from iecpod.providers.libvirt.connection.guest_states import LibvirtGuestStates
from iecpod.providers.libvirt.connection.observed import find_name, parse_domain, parse_network, parse_pool, volume_in
from iecpod.providers.libvirt.connection.storage import delete_volume, list_volumes, remove_pool, replace_volume, upload
from iecpod.providers.libvirt.objects import Emulator, HostFacts, Kind, Link, ObservedResource, Resource
from iecpod.providers.libvirt.ownership import check_owned
from iecpod.providers.libvirt.qemu_account import Account, find_kvm
from iecpod.providers.libvirt.xml import render_raw_volume

#: All that may hang on a domain beside its XML. What is missing here stays behind as a file.
_UNDEFINE_BASIC = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_UNDEFINE_FLAGS = _UNDEFINE_BASIC | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM

#: Newer libvirt only; a driver that does not know a flag refuses the call with one of these codes.
_UNDEFINE_TPM = getattr(libvirt, "VIR_DOMAIN_UNDEFINE_TPM", 0)
_FLAG_REFUSED = {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_ERR_NO_SUPPORT}

#: No emulator for the architecture, none with the machine type, or a driver without emulators.
_NOT_OFFERED = {libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT}


class LibvirtHypervisor(LibvirtGuestStates):
    """`Hypervisor` for one POD: objects of others are shown, and never touched."""

    def __init__(
        self,
        connection: Any,
        owner: Owner,
        find_links: Callable[[], tuple[Link, ...]],
        account: Account | None = None,
    ) -> None:
        """`connection` is a `libvirt.virConnect`; use a connection of its own in every thread.

        `account` is whom volumes have to be given to, None where libvirt does so when guests start.
        """
        self._connection = connection
        self._owner = owner
        self._find_links = find_links
        self._account = account

    @classmethod
    def open(
        cls, uri: str, owner: Owner, find_links: Callable[[], tuple[Link, ...]], account: Account | None = None
    ) -> LibvirtHypervisor:
        """`find_links` lists the network devices where the hypervisor's guests are. Raises `HypervisorUnavailable`."""
        silence_libvirt()
        with translate_errors(f"connect to {uri}"):
            return cls(libvirt.open(uri), owner, find_links, account)

    def close(self) -> None:
        with translate_errors("close the connection"):
            self._connection.close()

    def describe(self) -> HostFacts:
        with translate_errors("describe the host"):
            host_arch, _, cpus = self._connection.getInfo()[:3]
            memory_mib = self._find_memory_mib()
            version = self._connection.getLibVersion()
            found = {arch: self._find_emulator(arch) for arch in Arch}
        return HostFacts(
            arch=host_arch,
            cpus=cpus,
            memory_mib=memory_mib,
            libvirt_version=f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}",
            emulators={arch: emulator for arch, emulator in found.items() if emulator is not None},
            links=self._find_links(),
            qemu_user=str(self._account or ""),
            has_kvm_device=self._account is not None and find_kvm() is not None,
        )

    def observe(self) -> tuple[ObservedResource, ...]:
        with translate_errors("list what is there"):
            seen = [found for kind in (Kind.NETWORK, Kind.DOMAIN) for _, found in self._list(kind)]
            for pool, found in self._list(Kind.POOL):
                seen.append(found)
                if found.mark is not None:
                    seen += [volume_in(found, volume.name(), volume.path()) for volume in list_volumes(pool)]
        return tuple(seen)

    def define(self, resource: Resource) -> None:
        with translate_errors(f"define {resource.kind.value} {resource.name}"):
            self._refuse_clash(resource)
            if resource.kind is Kind.NETWORK:
                network = self._connection.networkDefineXMLFlags(resource.xml, libvirt.VIR_NETWORK_DEFINE_VALIDATE)
                network.setAutostart(1)
            elif resource.kind is Kind.POOL:
                pool = self._connection.storagePoolDefineXML(resource.xml, libvirt.VIR_STORAGE_POOL_DEFINE_VALIDATE)
                pool.setAutostart(1)
            else:
                self._connection.defineXMLFlags(resource.xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        if resource.kind is not Kind.DOMAIN:
            self.start(resource.kind, resource.name)

    def create_volume(self, pool: str, xml: str) -> None:
        with translate_errors(f"create volume {pool}/{find_name(xml)}"):
            self._give(replace_volume(self._ours(Kind.POOL, pool), xml))

    def upload_volume(self, pool: str, name: str, content: bytes) -> None:
        with translate_errors(f"fill volume {pool}/{name}"):
            volume = replace_volume(self._ours(Kind.POOL, pool), render_raw_volume(name, len(content)))
            upload(self._connection, volume, content)
            self._give(volume)

    def start(self, kind: Kind, name: str) -> None:
        with translate_errors(f"start {kind.value} {name}"):
            target = self._ours(kind, name)
            if kind is Kind.DOMAIN and _is_paused(target):
                target.resume()
                return
            if target.isActive():
                return
            if kind is Kind.POOL:
                target.build()
            target.create()

    def dump(self, resource: ObservedResource) -> str:
        with translate_errors(f"show {resource.kind.value} {resource.name}"):
            return str(self._ours(resource.kind, resource.name).XMLDesc())

    def remove(self, resource: ObservedResource) -> None:
        """What is gone already is no error; what is not ours is a `ResourceConflict`."""
        with translate_errors(f"remove {resource.kind.value} {resource.name}"):
            if resource.kind is Kind.VOLUME:
                pool_name, _, name = resource.name.partition("/")
                pool = self._find_ours(Kind.POOL, pool_name)
                if pool is not None:
                    delete_volume(pool, name)
                return
            target = self._find_ours(resource.kind, resource.name)
            if target is None:
                return
            if resource.kind is Kind.POOL:
                remove_pool(target)
            elif resource.kind is Kind.NETWORK:
                _stop(target)
                target.undefine()
            else:
                _stop(target)
                _undefine_domain(target)

    def _give(self, volume: Any) -> None:
        if self._account is not None:
            self._account.give(Path(volume.path()))

    def _find_memory_mib(self) -> int:
        """From the node's statistics: the NUMA cells that `getInfo` adds up may leave out memory added at run time."""
        try:
            return int(self._connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"]) // 1024
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
            return int(self._connection.getInfo()[1])

    def _find_emulator(self, arch: Arch) -> Emulator | None:
        """Asks for one architecture at a time: the first answer after an installation costs seconds for each QEMU."""
        try:
            capabilities = self._connection.getDomainCapabilities(None, arch.value, MACHINES[arch], None)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _NOT_OFFERED:
                raise
            return None
        return parse_emulator(arch, capabilities, lambda path: Path(path).is_file())

    def _list(self, kind: Kind) -> list[tuple[Any, ObservedResource]]:
        """libvirt's objects with their views; one that vanishes while we look is left out."""
        if kind is Kind.NETWORK:
            objects = self._connection.listAllNetworks()
        elif kind is Kind.POOL:
            objects = self._connection.listAllStoragePools()
        else:
            objects = self._connection.listAllDomains()
        found = []
        for target in objects:
            try:
                found.append((target, self._view(kind, target)))
            except libvirt.libvirtError as error:
                if error.get_error_code() not in GONE:
                    raise
        return found

    def _view(self, kind: Kind, target: Any) -> ObservedResource:
        active, autostart = bool(target.isActive()), bool(target.autostart())
        if kind is Kind.NETWORK:
            return parse_network(target.XMLDesc(), active, autostart)
        if kind is Kind.POOL:
            return parse_pool(target.XMLDesc(), active, self._owner, autostart)
        paused = _is_paused(target)
        return parse_domain(target.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), active and not paused, autostart, paused)

    def _find_ours(self, kind: Kind, name: str) -> Any | None:
        """libvirt's object; None where there is none. Raises `ResourceConflict` where it is not ours."""
        for target, view in self._list(kind):
            if view.name == name:
                check_owned(view, self._owner)
                return target
        return None

    def _ours(self, kind: Kind, name: str) -> Any:
        target = self._find_ours(kind, name)
        if target is None:
            raise HostError(f"{kind.value} {name} does not exist", "run the command again: it makes what is missing")
        return target

    def _refuse_clash(self, resource: Resource) -> None:
        """Name, UUID and bridge must be free or ours; libvirt itself would take over an object of the same UUID."""
        bridge = parse_network(resource.xml, False).bridge if resource.kind is Kind.NETWORK else ""
        for _, view in self._list(resource.kind):
            if view.name == resource.name or view.uuid == resource.uuid:
                check_owned(view, self._owner)
            if bridge and view.bridge == bridge and view.name != resource.name:
                raise ResourceConflict(
                    f"network {resource.name}: its bridge {bridge} belongs to network {view.name}",
                    "name another bridge in the IDF (idf.fuel.jumphost.bridges), or remove that network",
                )


def _is_paused(domain: Any) -> bool:
    """By a person, or by QEMU because the disk of the host is full: such a guest does nothing until it is resumed."""
    return bool(domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED)


def _stop(target: Any) -> None:
    if target.isActive():
        target.destroy()


def _undefine_domain(domain: Any) -> None:
    """With all that hangs on it; flags that a driver does not know are left out, one set after the other."""
    for flags in (_UNDEFINE_FLAGS | _UNDEFINE_TPM, _UNDEFINE_FLAGS, _UNDEFINE_BASIC, 0):
        try:
            domain.undefineFlags(flags)
            return
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            if code == libvirt.VIR_ERR_NO_DOMAIN:  # transient: it went when it stopped
                return
            if code not in _FLAG_REFUSED or flags == 0:
                raise
