"""Volumes of a POD's pool, on libvirt's own objects; errors are libvirt's, for the caller to translate."""

from __future__ import annotations

from typing import Any

import libvirt

from iecpod.providers.libvirt.connection.observed import find_name


def list_volumes(pool: Any) -> list[Any]:
    """The pool's volumes as they are on disk; none where it does not run or its directory was removed."""
    if not pool.isActive():
        return []
    try:
        pool.refresh()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_SYSTEM_ERROR:
            raise
        return []
    return list(pool.listAllVolumes())


def replace_volume(pool: Any, xml: str) -> Any:
    delete_volume(pool, find_name(xml))
    return pool.createXML(xml)


def delete_volume(pool: Any, name: str) -> None:
    try:
        volume = pool.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return
        raise
    volume.delete()


def upload(connection: Any, volume: Any, content: bytes) -> None:
    stream = connection.newStream()
    volume.upload(stream, 0, len(content))
    sent = 0

    def read(_stream: Any, size: int, _opaque: None) -> bytes:
        nonlocal sent
        chunk = content[sent : sent + size]
        sent += len(chunk)
        return chunk

    stream.sendAll(read, None)
    stream.finish()


def remove_pool(pool: Any) -> None:
    """With its volumes and its directory. A pool that is off is started first: only then are its volumes known."""
    if not pool.isActive():
        pool.build()
        pool.create()
    for volume in list_volumes(pool):
        volume.delete()
    if pool.isActive():
        pool.destroy()
    _delete_directory(pool)
    pool.undefine()


def _delete_directory(pool: Any) -> None:
    """Drivers without directories (libvirt's test driver) have none to delete."""
    try:
        pool.delete()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
