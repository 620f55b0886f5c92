"""The images that one kind of node needs, out of an archive of all of them: fewer, and with compressed layers.

A node reads an archive twice, to store and to unpack it, and an emulated one gets it over SSH at a few MB/s.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.files.tar import OddTar, TarBounds, TarFile, read_tar
from iecpod.images.archives.docker_archive import PackedImage, pack_images
from iecpod.images.archives.members import is_compressed
from iecpod.outside_json import parse_json
from iecpod.release.scenario import Role

_MANIFEST = "manifest.json"
_MOST_TEXT_BYTES = 4 * 1024 * 1024
_MOST_MEMBERS = 10_000
#: The fastest: a third of the bytes are left with it, a few less with others.
_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS

#: Called on the first node only.
_OF_THE_FIRST_NODE = ("helm",)
#: Images of kubeadm's static pods, which run on control planes only (kubeadm, "Implementation details").
_OF_CONTROL_PLANES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


@dataclass(frozen=True, slots=True)
class NodeImages:
    """Archives, and the references of the images in them."""

    archives: tuple[Path, ...]
    references: tuple[str, ...]


def node_references(references: Sequence[str], role: Role) -> tuple[str, ...]:
    """Those that a node of that role may be asked to run."""
    if role is Role.CONTROL_PLANE:
        return tuple(references)
    return tuple(reference for reference in references if _name(reference) not in _OF_CONTROL_PLANES)


def node_programs(programs: Sequence[Path], role: Role) -> tuple[Path, ...]:
    """Those that are called on a node of that role."""
    return tuple(path for path in programs if role is Role.CONTROL_PLANE or path.name not in _OF_THE_FIRST_NODE)


def ensure_node_images(cache: Cache, key: str, images: NodeImages, role: Role) -> NodeImages:
    """From the cache, or made of all `images`; `key` names the artifact that those are of. Raises `ImageError`."""
    chosen = node_references(images.references, role)

    def make(directory: Path) -> Mapping[str, Any]:
        for archive in images.archives:
            _pack(archive, directory / archive.name, frozenset(chosen), cache)
        return {"references": list(chosen)}

    recipe = {"version": 1, "of": key, "references": list(chosen)}
    made = cache.ensure("node-images", recipe, make, f"packing the images of a {role.value}")
    return NodeImages(tuple(sorted(made.path.glob("*.tar"))), chosen)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2].partition(":")[0].partition("@")[0]


def _pack(source: Path, target: Path, chosen: frozenset[str], cache: Cache) -> None:
    """Nothing is written where the archive has none of them. Raises `ImageError`."""

    def refuse(why: str) -> ImageError:
        return ImageError(f"{source} is not an archive of images: {why}", "import the bundle or build it again")

    try:
        images = _chosen_images(source, chosen, refuse)
        if not images:
            return
        wanted = {name for image in images for name in image.layers}
        with cache.staging("node-images") as work:
            layers = {file.name: _compress(file, work / str(index)) for index, file in _files(source, wanted)}
            if missing := wanted - layers.keys():
                raise refuse(f"it has no {min(missing)}")
            named = {name: name.removesuffix("/layer.tar") for name in layers}
            packed = [
                PackedImage(
                    reference=image.reference,
                    configuration=image.configuration,
                    layers=tuple(named[name] for name in image.layers),
                )
                for image in images
            ]
            pack_images(target, packed, {named[name]: path for name, path in layers.items()})
    except OddTar as error:
        raise refuse(str(error)) from error


def _chosen_images(source: Path, chosen: frozenset[str], refuse: Callable[[str], ImageError]) -> list[PackedImage]:
    """`layers` are names of members yet."""
    texts = {
        file.name: file.content()
        for _, file in _files(source, None)
        if file.name.endswith(".json") and file.size_bytes <= _MOST_TEXT_BYTES
    }
    images = []
    for entry in parse_json(texts.get(_MANIFEST, b""), refuse).as_entries():
        references = [reference.as_text() for reference in entry.entries("RepoTags")]
        configuration = texts.get(entry.text("Config"))
        if configuration is None:
            raise refuse(f"it has no {entry.text('Config')}")
        layers = tuple(layer.as_text() for layer in entry.entries("Layers"))
        images += [
            PackedImage(reference=reference, configuration=configuration, layers=layers)
            for reference in references
            if reference in chosen
        ]
    return images


def _files(source: Path, wanted: set[str] | None) -> Iterator[tuple[int, TarFile]]:
    """All, or those of some names, each with its number."""
    bounds = TarBounds(total_bytes=source.stat().st_size, members=_MOST_MEMBERS)
    with source.open("rb") as stream:
        for index, file in enumerate(read_tar(stream, bounds)):
            if wanted is None or file.name in wanted:
                yield index, file


def _compress(file: TarFile, target: Path) -> Path:
    """As gzip does; a layer that is compressed already gains nothing and is taken as it is."""
    packer = None
    with target.open("wb") as stream:
        for number, piece in enumerate(file.pieces):
            if number == 0 and not is_compressed(piece):
                packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
            stream.write(packer.compress(piece) if packer else piece)
        stream.write(packer.flush() if packer else b"")
    return target
