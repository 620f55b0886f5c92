"""Deterministic names, UUIDs and MACs: the same POD gets the same ones on every run and host."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence

from iecpod.model import NetworkName, PodRef

#: RFC 4122 name space of all iecpod objects.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "iecpod.akraino.org")

#: XML name space of the metadata that marks libvirt objects as ours.
METADATA_URI = "https://iecpod.akraino.org/xmlns/pod/1.0"

#: Fuel's bridge names, used where the IDF names none (`semantics.md` 4.4).
DEFAULT_BRIDGES = {
    NetworkName.ADMIN: "pxebr",
    NetworkName.MGMT: "mgmt",
    NetworkName.PRIVATE: "internal",
    NetworkName.PUBLIC: "public",
}


#: Serial number of the disk that brings a bundle to guests, and the label of its file system.
BUNDLE_DISK = "iecpod-bundle"


def resource_name(ref: PodRef, *parts: str) -> str:
    """libvirt name of an object of the POD, e.g. `arm-virtual2-iec01`."""
    return "-".join((ref.lab, ref.pod, *parts))


def pool_name(ref: PodRef) -> str:
    """Name of the POD's storage pool; pools drop metadata, so the name and UUID are the mark of ownership."""
    return "iecpod-" + resource_name(ref)


def resource_uuid(ref: PodRef, kind: str, name: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{ref.lab}/{ref.pod}/{kind}/{name}")


def mac_address(ref: PodRef, hostname: str, network: NetworkName) -> str:
    """A stable MAC in QEMU's 52:54:00 range, from POD, node and network."""
    digest = hashlib.sha256(f"{ref.lab}/{ref.pod}/{hostname}/{network.value}".encode()).digest()
    return ":".join(["52", "54", "00", *(f"{octet:02x}" for octet in digest[:3])])


def nic_name(names: Sequence[str], interface: int) -> str:
    """What a node calls one of its NICs; `names` are those of the IDF by index, empty where it has none.

    A NIC without a name gets the kernel's, `enpNs0`. Where the IDF gives that to another NIC, it gets the first one
    that a NIC with another name does not use, so that no two NICs have one name.
    """
    named = {index: name for index, name in enumerate(names) if name}
    own = named.get(interface, _kernel_name(interface))
    taken = set(named.values())
    if interface in named or own not in taken:
        return own
    displaced = sorted(index for index in map(_kernel_index, taken) if index is not None and index not in named)
    unused = (name for name in map(_kernel_name, named) if name not in taken)
    return dict(zip(displaced, unused, strict=False)).get(interface, own)


def _kernel_name(index: int) -> str:
    return f"enp{index + 1}s0"


def _kernel_index(name: str) -> int | None:
    found = re.fullmatch(r"enp([1-9][0-9]{0,9})s0", name)
    return int(found[1]) - 1 if found else None
