"""The hypervisors that the contract suite runs against, each with the means to act on it from outside."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import libvirt

from iecpod.model import PodRef
from iecpod.providers.libvirt.connection.hypervisor import LibvirtHypervisor
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.ports import Hypervisor
from tests import pods
from tests.fakes import FakeHypervisor

#: libvirt's test driver begins with nothing when it is given a node of its own; test:///default is shared.
_TEST_NODE = "<node><cpu><cores>4</cores></cpu><memory>8000000</memory></node>"


class Outsider(Protocol):
    """Somebody with virsh: acts on the hypervisor past iecpod."""

    def edit_outside(self, name: str, edit: Callable[[str], str]) -> None:
        """Changes a domain's XML."""

    def set_autostart_outside(self, kind: Kind, name: str, autostart: bool) -> None: ...

    def pause_outside(self, name: str) -> None:
        """Stops the processors of a domain that runs."""


@dataclass(frozen=True)
class Subject:
    """`adapt_domain` makes a domain's XML one that the driver can run; `stores_files` where volumes are real files."""

    hypervisor: Hypervisor
    add_foreign: Callable[[Kind, str], None]
    stop_outside: Callable[[Kind, str], None]
    adapt_domain: Callable[[str], str]
    directory: Path
    takes_uploads: bool
    stores_files: bool
    outsider: Outsider


@contextmanager
def fake_subject(ref: PodRef, directory: Path) -> Iterator[Subject]:
    fake = FakeHypervisor(pods.owner(ref, directory))
    yield Subject(fake, fake.add_foreign, fake.stop_outside, lambda xml: xml, directory, True, False, fake)


@contextmanager
def driver_subject(ref: PodRef, directory: Path) -> Iterator[Subject]:
    node = directory / "node.xml"
    node.write_text(_TEST_NODE)
    connection = libvirt.open(f"test://{node}")

    def adapt(xml: str) -> str:
        return xml.replace("<domain type='qemu'>", "<domain type='test'>").replace(
            "<type arch='x86_64' machine='q35'>", "<type arch='i686'>"
        )

    yield Subject(
        LibvirtHypervisor(connection, pods.owner(ref, directory), lambda: ()),
        lambda kind, xml: _define(connection, kind, xml),
        lambda kind, name: _stop(connection, kind, name),
        adapt,
        directory,
        False,
        False,
        _Virsh(connection),
    )
    connection.close()


@contextmanager
def embedded_subject(ref: PodRef, directory: Path, capabilities_cache: Path) -> Iterator[Subject]:
    host = EmbeddedHost(directory, pods.owner(ref, directory), capabilities_cache=capabilities_cache)
    host.start()
    try:
        hypervisor = host.connect()
        connection = libvirt.open(host.uri)
        yield Subject(
            hypervisor,
            lambda kind, xml: _define(connection, kind, xml),
            lambda kind, name: _stop(connection, kind, name),
            lambda xml: xml,
            directory,
            True,
            True,
            _Virsh(connection),
        )
        connection.close()
        hypervisor.close()
    finally:
        host.stop()
    assert host.leftovers() == ()


@functools.cache
def why_not_embedded() -> str:
    """Empty where an embedded libvirtd can run."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("libvirtd", "qemu-system-x86_64", "dnsmasq", "ip") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "mount", "-t", "sysfs", "sysfs", "/sys"], capture_output=True
    )
    return "no namespaces may be made here" if tried.returncode else ""


def _define(connection: libvirt.virConnect, kind: Kind, xml: str) -> None:
    if kind is Kind.NETWORK:
        connection.networkDefineXML(xml)
    elif kind is Kind.POOL:
        connection.storagePoolDefineXML(xml)
    else:
        connection.defineXML(xml)


def _stop(connection: libvirt.virConnect, kind: Kind, name: str) -> None:
    _find(connection, kind, name).destroy()


def _find(connection: libvirt.virConnect, kind: Kind, name: str) -> Any:
    if kind is Kind.NETWORK:
        return connection.networkLookupByName(name)
    if kind is Kind.POOL:
        return connection.storagePoolLookupByName(name)
    return connection.lookupByName(name)


@dataclass(frozen=True)
class _Virsh:
    """`Outsider` on a connection of its own."""

    connection: libvirt.virConnect

    def edit_outside(self, name: str, edit: Callable[[str], str]) -> None:
        found = self.connection.lookupByName(name)
        self.connection.defineXML(edit(found.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))

    def set_autostart_outside(self, kind: Kind, name: str, autostart: bool) -> None:
        _find(self.connection, kind, name).setAutostart(int(autostart))

    def pause_outside(self, name: str) -> None:
        self.connection.lookupByName(name).suspend()
