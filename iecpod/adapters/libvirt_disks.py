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


def _files(connection: Any, xml: str) -> Iterator[Path]:
    for source in ElementTree.fromstring(xml).iterfind("./devices/disk//source"):
        if "file" in source.attrib:
            yield Path(source.attrib["file"])
        elif "volume" in source.attrib:
            pool = connection.storagePoolLookupByName(source.attrib["pool"])
            yield Path(pool.storageVolLookupByName(source.attrib["volume"]).path())
