"""libvirt's XML read back: what is there, and whose it is."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path, PurePath
from xml.etree.ElementTree import Element

from iecpod import naming
from iecpod.design.owner import Owner
from iecpod.errors import UsageError
from iecpod.model import PodRef
from iecpod.providers.libvirt.objects import Kind, Mark, ObservedResource
from iecpod.providers.libvirt.ownership import is_computed

#: A UUID; earlier versions wrote none.
_INSTALLATION = re.compile(r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?")

#: libvirt prints KiB, whatever unit it was given; we render MiB.
_UNITS_PER_MIB = {"KiB": 1024, "MiB": 1}


def parse_network(xml: str, active: bool, autostart: bool = False) -> ObservedResource:
    root = ElementTree.fromstring(xml)
    bridge = root.find("bridge")
    return ObservedResource(
        kind=Kind.NETWORK,
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        mark=_find_mark(root),
        active=active,
        bridge=bridge.get("name", "") if bridge is not None else "",
        cidrs=tuple(_cidr(ip) for ip in root.findall("ip") if ip.get("family", "ipv4") == "ipv4"),
        autostart=autostart,
    )


def parse_domain(xml: str, active: bool, autostart: bool = False, paused: bool = False) -> ObservedResource:
    """`files` is the NVRAM; sizes are those of the next start where the XML is the inactive one."""
    root = ElementTree.fromstring(xml)
    nvram = root.findtext("os/nvram", "").strip()
    return ObservedResource(
        kind=Kind.DOMAIN,
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        mark=_find_mark(root),
        active=active,
        files=(nvram,) if nvram else (),
        vcpus=_vcpus(root.find("vcpu")),
        memory_mib=_memory_mib(root.find("memory")),
        macs=tuple(mac.get("address", "").lower() for mac in root.findall("devices/interface/mac")),
        disks=tuple(source["file"] for source in find_disk_sources(root) if "file" in source),
        autostart=autostart,
        paused=paused,
    )


def parse_pool(xml: str, active: bool, owner: Owner, autostart: bool = False) -> ObservedResource:
    """A pool is ours by name, UUID and directory."""
    root = ElementTree.fromstring(xml)
    path = root.findtext("target/path", "")
    seen = ObservedResource(
        kind=Kind.POOL,
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        mark=None,
        active=active,
        files=(path,) if path else (),
        autostart=autostart,
    )
    if not (is_computed(seen, owner.ref) and _is_pool_of(owner, path)):
        return seen
    return replace(seen, mark=Mark(owner.ref, "", "", "", installation=owner.installation))


def _is_pool_of(owner: Owner, path: str) -> bool:
    """The state directory may be named by a link this time, and by its own name another time."""
    if owner.has_pool_at(PurePath(path)):
        return True
    return owner.pod_dir is not None and os.path.realpath(path) == os.path.realpath(owner.pod_dir / "pool")


def volume_in(pool: ObservedResource, name: str, path: str) -> ObservedResource:
    """A volume of a pool of ours: its key is its path, and it belongs to whom the pool belongs."""
    return ObservedResource(
        kind=Kind.VOLUME, name=f"{pool.name}/{name}", uuid=path, mark=pool.mark, active=True, files=(path,)
    )


def find_disk_sources(domain: Element) -> Iterator[dict[str, str]]:
    """Attributes of each source of a disk, and of what it rests on."""
    for source in domain.iterfind("./devices/disk//source"):
        yield source.attrib


def find_disk_paths(source: Mapping[str, str]) -> Iterator[Path]:
    """A file or block device of this host, where the disk is one: a volume of LVM may hold a qcow2, too."""
    for kind in ("file", "dev"):
        if kind in source:
            yield Path(source[kind])


def find_name(xml: str) -> str:
    return ElementTree.fromstring(xml).findtext("name", "")


def _find_mark(root: Element) -> Mark | None:
    """None also where it names what cannot be a POD or an installation: iecpod has not written that."""
    pod = root.find(f"metadata/{{{naming.METADATA_URI}}}pod")
    if pod is None or not _INSTALLATION.fullmatch(pod.get("installation", "")):
        return None
    try:
        ref = PodRef(pod.get("lab", ""), pod.get("pod", ""))
    except UsageError:
        return None
    named = (part.partition("=") for part in pod.get("parts", "").split())
    parts = tuple((name, digest) for name, _, digest in named)
    run, created, digest = (pod.get(name, "") for name in ("run", "created", "digest"))
    return Mark(ref, run, created, digest, parts, pod.get("installation", ""))


def _cidr(ip: Element) -> IPv4Network:
    """libvirt takes the class of an address that has neither prefix nor netmask."""
    address = ip.get("address", "")
    first_octet = int(address.split(".")[0])
    classful = 8 if first_octet < 128 else 16 if first_octet < 192 else 24
    return IPv4Interface(f"{address}/{ip.get('prefix') or ip.get('netmask') or classful}").network


def _vcpus(vcpu: Element | None) -> int:
    """Those that the guest begins with; more may be plugged in where libvirt was asked to."""
    return int(vcpu.get("current") or vcpu.text or 0) if vcpu is not None else 0


def _memory_mib(memory: Element | None) -> int:
    return int(memory.text or 0) // _UNITS_PER_MIB[memory.get("unit", "KiB")] if memory is not None else 0
