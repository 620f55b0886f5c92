"""The images of an archive: of `docker save` by its manifest.json, else of an OCI image layout by its index.json.

Sources: Docker Image Specification v1.2; OCI Image Specification 1.1 (image layout, index, manifest, annotations).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from iecpod.images.archives.members import Member, Members
from iecpod.model import Arch
from iecpod.outside_json import Json
from iecpod.release.image_reference import full_reference, is_tagged, without_digest
from iecpod.sha256 import is_oci_digest

_MANIFEST, _INDEX = "manifest.json", "index.json"
#: As buildx and containerd write it, and as the specification has it: there it may be a tag alone.
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_DEEPEST_INDEX = 3
#: What an index has of a platform that is none: attestations of a build.
_NO_PLATFORM = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedImage:
    """`diff_ids` (hex) are of the layers uncompressed, the lowest first.

    `layers` are by diff id those that are in the archive under the name that is given for them: docker of before 25
    writes a layer that several images have once, and links to it.
    """

    references: tuple[str, ...]
    arch: Arch
    configuration: bytes
    diff_ids: tuple[str, ...]
    layers: dict[str, Member]

    @property
    def image_id(self) -> str:
        return hashlib.sha256(self.configuration).hexdigest()


def find_saved_images(members: Members) -> list[SavedImage]:
    """Those for architectures that nodes can have. Raises `UsageError` for what is not as it says itself."""
    manifest, index = members.find(_MANIFEST), members.find(_INDEX)
    if manifest is not None:
        images = list(_of_docker(members, members.json(manifest)))
    elif index is not None:
        images = list(_of_layout(members, index))
    else:
        raise members.refuse(f"there is neither {_MANIFEST} nor {_INDEX} in it")
    if not images:
        raise members.refuse("no image in it is for x86_64 or aarch64")
    return images


def _of_docker(members: Members, manifest: Json) -> Iterator[SavedImage]:
    for entry in manifest.as_entries():
        config = _member(members, entry.text("Config"))
        names = tuple(tag.as_text() for tag in entry.entries("RepoTags"))
        if not names:
            raise members.refuse(
                f"the image of {config.name} has no name", "save it by REGISTRY/NAME:TAG, not by its id"
            )
        layers = [members.find(layer.as_text()) for layer in entry.entries("Layers")]
        yield from _image(members, names, config, layers)


def _of_layout(members: Members, index: Member) -> Iterator[SavedImage]:
    for entry in members.json(index).entries("manifests"):
        yield from _of_descriptor(members, entry, (_layout_name(members, entry),), _DEEPEST_INDEX)


def _layout_name(members: Members, entry: Json) -> str:
    annotations = entry.get("annotations")
    for key in _NAME_ANNOTATIONS:
        name = annotations.text(key, "") if annotations is not None else ""
        if {"/", ":"} & set(name):
            return name
    raise members.refuse(
        f"{_INDEX} does not name the image {entry.text('digest')}",
        "write it with its whole name, such as `skopeo copy SOURCE oci-archive:FILE:REGISTRY/NAME:TAG`",
    )


def _of_descriptor(members: Members, entry: Json, names: tuple[str, ...], deeper: int) -> Iterator[SavedImage]:
    """A manifest, or an index of those of several platforms, of which an archive need not have all."""
    platform = entry.get("platform")
    if platform is not None and platform.text("os", _NO_PLATFORM) == _NO_PLATFORM:
        return
    blob = _find_blob(members, entry)
    if blob is None and platform is not None:
        return
    manifest = members.json(_there(members, blob, entry))
    if manifest.get("manifests") is None:
        layers = [_there(members, _find_blob(members, layer), layer) for layer in manifest.entries("layers")]
        config = manifest.at("config")
        yield from _image(members, names, _there(members, _find_blob(members, config), config), list(layers))
    elif deeper:
        for inner in manifest.entries("manifests"):
            yield from _of_descriptor(members, inner, names, deeper - 1)
    else:
        raise members.refuse("an index is in an index, and so on")


def _find_blob(members: Members, entry: Json) -> Member | None:
    """Raises `UsageError` where the bytes under that digest have another one."""
    digest = entry.text("digest")
    if not is_oci_digest(digest):
        raise entry.refuse(f"{entry.path}: {digest[:80]!a} is no digest of SHA-256")
    member = members.find(f"blobs/sha256/{digest.removeprefix('sha256:')}")
    if member is not None and member.digest != digest:
        raise members.refuse(f"the digest of {member.name} is {member.digest}")
    return member


def _there(members: Members, member: Member | None, entry: Json) -> Member:
    if member is None:
        raise members.refuse(f"{entry.text('digest')} is not in it, and {entry.path} names it")
    return member


def _member(members: Members, name: str) -> Member:
    found = members.find(name)
    if found is None:
        raise members.refuse(f"{name[:200]!a} is not in it, and {_MANIFEST} names it")
    return found


def _image(
    members: Members, names: tuple[str, ...], config: Member, layers: list[Member | None]
) -> Iterator[SavedImage]:
    """Nothing for an architecture that no node has."""
    data = members.json(config)
    diff_ids = [layer.as_text() for layer in data.at("rootfs").entries("diff_ids")]
    if len(diff_ids) != len(layers) or not all(map(is_oci_digest, diff_ids)):
        raise members.refuse(f"{config.name} does not name the digests of its {len(layers)} layers")
    arch = next((arch for arch in Arch if arch.debian == data.text("architecture", "")), None)
    if arch is None or data.text("os", "linux") != "linux":
        return
    hexadecimal = tuple(digest.removeprefix("sha256:") for digest in diff_ids)
    yield SavedImage(
        references=tuple(dict.fromkeys(_reference(members, name) for name in names)),
        arch=arch,
        configuration=members.content(config),
        diff_ids=hexadecimal,
        layers={digest: layer for digest, layer in zip(hexadecimal, layers, strict=True) if layer is not None},
    )


def _reference(members: Members, name: str) -> str:
    reference = full_reference(without_digest(name))
    if not is_tagged(reference):
        raise members.refuse(f"{name[:200]!a} is not the name of an image", "save it by REGISTRY/NAME:TAG")
    return reference
