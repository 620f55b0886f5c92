"""The disks of every domain that a libvirt of this machine knows, whoever made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from iecpod.hypervisor_uri import HypervisorUri
from iecpod.providers.libvirt.connection.errors import silence_libvirt, translate_errors
from iecpod.providers.libvirt.connection.observed import find_disk_paths, find_disk_sources


def find_domain_disks(uri: HypervisorUri) -> list[tuple[str, Path]]:
    """Name of the domain and file: one for each disk, and each that libvirt says it rests on. Raises `HostError`."""
    silence_libvirt()
    with translate_errors(f"list the disks at {uri}"):
        connection = libvirt.openReadOnly(uri)
        try:
            domains = connection.listAllDomains()
            return [(domain.name(), path) for domain in domains for path in _files(connection, domain.XMLDesc())]
        finally:
            connection.close()


def _files(connection: Any, domain_xml: str) -> Iterator[Path]:
    for source in find_disk_sources(ElementTree.fromstring(domain_xml)):
        yield from find_disk_paths(source)
        if "volume" in source:
            pool = connection.storagePoolLookupByName(source["pool"])
            yield Path(pool.storageVolLookupByName(source["volume"]).path())
