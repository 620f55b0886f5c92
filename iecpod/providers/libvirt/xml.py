"""Networks, storage and domains as libvirt XML, with the mark that makes them ours and the digest that shows drift."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from iecpod import naming
from iecpod.model import PodRef
from iecpod.providers.libvirt.objects import DesiredDomain, DesiredNetwork, Kind, Mark, Resource
from iecpod.render.templating import package_environment

if TYPE_CHECKING:
    import jinja2

NO_INPUTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who makes objects in this run: what every mark of the run has in common. `created` is RFC 3339, UTC."""

    ref: PodRef
    run_id: str
    created: str
    installation: str

    def mark(self, digest: str, parts: tuple[tuple[str, str], ...] = ()) -> Mark:
        return Mark(self.ref, self.run_id, self.created, digest, parts, self.installation)


def resource_of(
    desired: DesiredNetwork | DesiredDomain,
    stamp: Stamp,
    inputs: Mapping[str, str] = NO_INPUTS,
    earlier_inputs: Mapping[str, str] = NO_INPUTS,
) -> Resource:
    """The object ready for libvirt. `inputs` are what it is made from beside its XML, by name: image key, seed text.

    A change of any of them changes the digest, and so shows as drift; the parts of the mark show which it was.
    `earlier_inputs` are those that earlier versions of iecpod made a digest of.
    """
    kind = Kind.NETWORK if isinstance(desired, DesiredNetwork) else Kind.DOMAIN
    bare = _render(_lasting(desired), None)
    digest, parts = digest_of(bare, inputs), _parts_of(bare, inputs)
    xml = _render(desired, stamp.mark(digest, parts))
    return Resource(
        kind=kind,
        name=desired.name,
        uuid=desired.uuid,
        xml=xml,
        digest=digest,
        parts=parts,
        desired=desired,
        earlier=((digest_of(bare, earlier_inputs), _parts_of(bare, earlier_inputs)),) if earlier_inputs else (),
    )


def pool_resource(ref: PodRef, path: str) -> Resource:
    """The POD's storage pool; pools drop metadata, so name, UUID and directory mark it."""
    name = naming.pool_name(ref)
    uuid = str(naming.resource_uuid(ref, Kind.POOL.value, name))
    xml = render_pool(name, uuid, path)
    return Resource(kind=Kind.POOL, name=name, uuid=uuid, xml=xml, digest=digest_of(xml))


def digest_of(xml: str, inputs: Mapping[str, str] = NO_INPUTS) -> str:
    """sha256 over the XML and the digests of the other inputs, in hex."""
    digest = hashlib.sha256(xml.encode())
    for text in inputs.values():
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


def _lasting(desired: DesiredNetwork | DesiredDomain) -> DesiredNetwork | DesiredDomain:
    """Without what no machine is recreated for: the bundle is of use only until the node is installed, and those that
    earlier versions made, which show fsrm, have booted with it.
    """
    return replace(desired, bundle_disk=None, hides_fsrm=False) if isinstance(desired, DesiredDomain) else desired


def _parts_of(xml: str, inputs: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Short, since they only show what differs where the digest does."""
    parts = {"definition": xml, **inputs} if inputs else {}
    return tuple((name, hashlib.sha256(text.encode()).hexdigest()[:12]) for name, text in parts.items())


def render_network(network: DesiredNetwork, mark: Mark | None = None) -> str:
    return _template("network").render(network=network, mark=mark, metadata_uri=naming.METADATA_URI)


def render_domain(domain: DesiredDomain, mark: Mark | None = None) -> str:
    """A UEFI guest whose NICs sit on PCI buses 1, 2, …, so that the guest's own names for them are enp1s0, enp2s0, …"""
    return _template("domain").render(
        domain=domain, mark=mark, metadata_uri=naming.METADATA_URI, bundle_serial=naming.BUNDLE_DISK
    )


def render_pool(name: str, uuid: str, path: str) -> str:
    return _template("pool").render(name=name, uuid=uuid, path=path)


def render_volume(name: str, capacity_bytes: int, backing_path: str, backing_format: str) -> str:
    """A qcow2 overlay of a base image; `backing_format` is stated because libvirt refuses to guess it."""
    return _template("volume").render(
        name=name,
        format="qcow2",
        capacity_bytes=capacity_bytes,
        backing_path=backing_path,
        backing_format=backing_format,
    )


def render_raw_volume(name: str, capacity_bytes: int) -> str:
    """A sparse raw volume, to be filled with content of that size."""
    return _template("volume").render(name=name, format="raw", capacity_bytes=capacity_bytes, backing_path="")


def _render(desired: DesiredNetwork | DesiredDomain, mark: Mark | None) -> str:
    if isinstance(desired, DesiredNetwork):
        return render_network(desired, mark)
    return render_domain(desired, mark)


def _template(kind: str) -> jinja2.Template:
    return package_environment().get_template(f"{kind}.xml.j2")
