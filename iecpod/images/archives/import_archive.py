"""Archives of images from users, taken into the cache under the digest of the file.

What is kept is one archive an architecture, of the one form that every container runtime loads, with layers that are
not compressed: old ones know no zstd, and nodes are spared the work. Each layer was checked against the digest that the
image's configuration has for it, so the image's id stands for all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from iecpod.cache.artifacts import Cache, artifact_lease, find_damage, load_artifact
from iecpod.cache.hashed_files import explain_os_error, place_open_file, sha256_of_file
from iecpod.errors import PreflightError, Problem, UsageError
from iecpod.files.reader import open_regular
from iecpod.files.tar import OddTar
from iecpod.images.archives.docker_archive import PackedImage, pack_images
from iecpod.images.archives.members import MOST_BYTES, Members, refused, uncompress, unpack_members
from iecpod.images.archives.saved_images import SavedImage, find_saved_images
from iecpod.model import Arch
from iecpod.outside_json import Json
from iecpod.release.image_archive import ArchivedImage, ImageArchive, archive_file, parse_archived_images

_KIND = "image-archives"
_REMEDY = "give the file again with --image-archive"


def take_in(cache: Cache, file: Path) -> str:
    """Puts the images of `file` into the cache; returns the digest (hex) of the file.

    Raises `UsageError` for what is no archive of images or not whole, `ImageError` where the cache cannot keep it.
    """
    with cache.staging("image-archive") as work:
        given = work / "given"
        with _opened(file) as content, explain_os_error(f"taking in {file}"):
            place_open_file(content.fileno(), given)
        digest = sha256_of_file(given)  # of the file that is used from here on

        def make(directory: Path) -> Mapping[str, Any]:
            (work / "members").mkdir()
            log_path = cache.log_path("image-archive")
            members = unpack_members(given, str(file), work / "members", log_path)
            images = find_saved_images(members)
            facts = [_fact(image) for image in _by_reference(members, images)]
            (work / "layers").mkdir()
            keep_images(members, images, work / "layers", directory, log_path)
            return {"images": facts}

        cache.ensure_at(_place(cache.root, digest), {"sha256": digest}, make, f"taking in the images of {file}")
    return digest


def take_in_all(cache: Cache, files: Iterable[Path]) -> tuple[ImageArchive, ...]:
    """As `take_in`, each once."""
    digests = dict.fromkeys(take_in(cache, file) for file in files)
    return tuple(load_image_archive(cache.root, digest) for digest in digests)


def _opened(file: Path) -> BinaryIO:
    try:
        return open_regular(file)
    except OSError as error:
        raise UsageError(f"--image-archive {file}: {error.strerror}", "give a file that can be read") from error


def load_image_archive(cache_dir: Path, digest: str) -> ImageArchive:
    """One that was taken in. Raises `UsageError` where it is not there any more."""
    path = _place(cache_dir, digest)
    artifact = load_artifact(path, digest)
    try:
        if artifact is not None:
            images = parse_archived_images(Json(artifact.facts, "facts"))
            return ImageArchive(digest=digest, path=path, images=images)
    except ValueError:
        pass
    raise UsageError(f"the archive of images sha256:{digest} is not in the cache any more", _REMEDY)


def check_image_archives(cache: Cache, archives: Iterable[ImageArchive]) -> None:
    """Nobody removes them from here on. Raises `PreflightError` where they are not what was taken in."""
    problems = []
    for archive in archives:
        cache.hold(artifact_lease(_KIND, archive.digest))
        artifact = load_artifact(archive.path, archive.digest)
        damaged = ["manifest.json"] if artifact is None else find_damage(artifact)
        problems += [_damage(archive, name) for name in damaged]
    if problems:
        raise PreflightError(problems, "an archive of images in the cache is not whole", _REMEDY)


def _damage(archive: ImageArchive, name: str) -> Problem:
    return Problem(
        path=f"{archive}: {name}",
        message="it is missing, or is not what was taken in",
        remedy=_REMEDY,
        rule="image-archive-damaged",
    )


def _place(cache_dir: Path, digest: str) -> Path:
    return cache_dir / _KIND / digest


def keep_images(members: Members, images: Iterable[SavedImage], work: Path, directory: Path, log_path: Path) -> None:
    """Writes an archive an architecture to `directory`; layers are checked and uncompressed in `work`."""
    given, kept, left = list(images), dict[str, Path](), MOST_BYTES
    for diff_id, layer in {diff_id: layer for image in given for diff_id, layer in image.layers.items()}.items():
        target = work / diff_id
        try:
            found = uncompress(layer, target, left, log_path)
        except OddTar as error:
            raise members.refuse(f"{layer.name}: {error}") from error
        if found != diff_id:
            raise members.refuse(f"the layer {layer.name} is sha256:{found}, and its image requires sha256:{diff_id}")
        kept[diff_id], left = target, left - target.stat().st_size
    for arch in Arch:
        of_arch = [entry for image in given if image.arch is arch for entry in _packed(members, image, kept)]
        packed = list({image.reference: image for image in of_arch}.values())
        if packed:
            needed = {diff_id: kept[diff_id] for image in packed for diff_id in image.layers}
            pack_images(directory / archive_file(arch), packed, needed)


def _packed(members: Members, image: SavedImage, kept: Mapping[str, Path]) -> list[PackedImage]:
    """One entry a name."""
    missing = [diff_id for diff_id in image.diff_ids if diff_id not in kept]
    if missing:
        raise members.refuse(f"the layer sha256:{missing[0]} of {image.references[0]} is not in it")
    return [
        PackedImage(reference=reference, configuration=image.configuration, layers=image.diff_ids)
        for reference in image.references
    ]


def _by_reference(members: Members, images: Iterable[SavedImage]) -> list[ArchivedImage]:
    found: dict[tuple[str, Arch], ArchivedImage] = {}
    for image in images:
        for reference in image.references:
            one = ArchivedImage(reference, image.arch, image.image_id)
            if found.setdefault((reference, image.arch), one) != one:
                raise refused(members.file, f"{reference} for {image.arch.value} is two images in it")
    return list(found.values())


def _fact(image: ArchivedImage) -> dict[str, str]:
    return {"reference": image.reference, "arch": image.arch.value, "image_id": image.image_id}
