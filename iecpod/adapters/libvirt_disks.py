"""The disks of every domain that a libvirt of this machine knows, whoever made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt

from iecpod.adapters.libvirt_errors import silence_libvirt, translate_errors


def find_domain_disks(uri: str) -> list[tuple[str, Path]]:
    """Name of the domain and file: one for each disk, and each that libvirt says it rests on. Raises `HostError`."""
    silence_libvirt()
    with translate_errors(f"list the disks at {uri}"):
        connection = libvirt.openReadOnly(uri)
        try:
            domains = connection.listAllDomains()
            return [(domain.name(), path) for domain in domains for path in _files(connection, domain.XMLDesc())]
        finally:
            connection.close()


def find_disk_sources(domain_xml: str) -> Iterator[dict[str, str]]:
    """Attributes of each source of a disk, and of what it rests on."""
    for source in ElementTree.fromstring(domain_xml).iterfind("./devices/disk//source"):
        yield source.attrib


def _files(connection: Any, domain_xml: str) -> Iterator[Path]:
    for source in find_disk_sources(domain_xml):
        if "file" in source:
            yield Path(source["file"])
        elif "volume" in source:
            pool = connection.storagePoolLookupByName(source["pool"])
            yield Path(pool.storageVolLookupByName(source["volume"]).path())
