"""What a bundle says of itself: `manifest.json`, which holds the digests of all its files and the release as data.

Somebody else wrote it: each value has the form that it needs here, or it is the manifest of no bundle.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.errors import PreflightError, Problem, UsageError
from iecpod.model import Arch
from iecpod.outside_json import Bounds, Json, parse_json
from iecpod.sha256 import is_oci_digest, is_sha256

MANIFEST = "manifest.json"

#: A file beside the manifest, and not named in it, since it is made of it.
SIGNATURE = "manifest.json.sig"

#: A change of the places of files in a bundle.
BUNDLE_VERSION = 1

#: Those of a release with a thousand packages take a tenth of it.
MOST_MANIFEST_BYTES = 4 * 1024 * 1024
MOST_FILES = 20_000

DIRECTORIES = ("base", "bin", "debs", "helm", "images", "manifests")

#: Nothing is deeper, and nothing is elsewhere. These are the characters of Debian's packages and of our own files.
_FILE = re.compile(rf"({'|'.join(DIRECTORIES)})/[A-Za-z0-9_][A-Za-z0-9_.,+~:%@=-]{{0,254}}")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,510}")
_FORMATS = ("", "qcow2", "raw")


@dataclass(frozen=True, slots=True)
class BundledFile:
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        _demand(_is_count(self.size_bytes) and is_sha256(self.sha256))


@dataclass(frozen=True, slots=True)
class BundledImage:
    """`file` holds it; `digest` is that of its manifest in its registry, empty where it is from none."""

    reference: str
    file: str
    image_id: str
    digest: str

    def __post_init__(self) -> None:
        _demand(bool(_REFERENCE.fullmatch(self.reference)) and is_sha256(self.image_id))
        _demand(not self.digest or is_oci_digest(self.digest))


@dataclass(frozen=True, slots=True)
class BundledBase:
    """The base image: a disk of that `format`, or with an empty one the tar of a tree that a disk is made of."""

    file: str
    format: str
    virtual_size_bytes: int

    def __post_init__(self) -> None:
        _demand(self.format in _FORMATS and _is_count(self.virtual_size_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """`digest` (hex) is that of the manifest itself; `release` is the release's data, with its variant chosen."""

    digest: str
    release: Mapping[str, Any]
    arch: Arch
    base: BundledBase
    images: tuple[BundledImage, ...]
    files: Mapping[str, BundledFile]

    def __post_init__(self) -> None:
        """Names stay inside the bundle, and what is referred to is there."""
        _demand(len(self.files) <= MOST_FILES and all(_FILE.fullmatch(name) for name in self.files))
        _demand({self.base.file, *(image.file for image in self.images)} <= self.files.keys())

    @property
    def references(self) -> tuple[str, ...]:
        return tuple(image.reference for image in self.images)

    def names_in(self, directory: str) -> tuple[str, ...]:
        """Of its files, those of one of `DIRECTORIES`."""
        return tuple(sorted(name for name in self.files if name.startswith(f"{directory}/")))


def check_digest(text: str) -> str:
    """The digest of a manifest, as it is: it names a directory. Raises `ValueError`."""
    if not is_sha256(text):
        raise ValueError(f"{text!r} is not the digest of a bundle")
    return text


def bundle_dir(cache_dir: Path, digest: str) -> Path:
    """Where a bundle is that was taken in."""
    return cache_dir / "bundles" / digest


def read_bundle_manifest(path: Path) -> BundleManifest:
    """Of the bundle that was taken in at `path`, whose name is its digest.

    Raises `UsageError` where it is not there, `PreflightError` where it is not the one that was taken in.
    """
    return parse_bundle_manifest(read_manifest_bytes(path), str(path))


def read_manifest_bytes(path: Path) -> bytes:
    """As `read_bundle_manifest`, unparsed."""
    try:
        with (path / MANIFEST).open("rb") as file:
            content = file.read(MOST_MANIFEST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"the bundle is not in the cache any more: {path}: {error.strerror}", "give it again with --bundle"
        ) from error
    if hashlib.sha256(content).hexdigest() != path.name:
        raise not_whole([damaged_file(MANIFEST)])
    return content


def not_whole(problems: Iterable[Problem]) -> PreflightError:
    """What to say of a bundle in the cache."""
    return PreflightError(list(problems), "the bundle in the cache is not whole", "give it again with --bundle")


def damaged_file(name: str, message: str = "it is missing, or is not what the bundle's manifest says") -> Problem:
    return Problem(
        path=name,
        message=message,
        remedy="copy the bundle again and run `iecpod bundle verify`; if it stays so, build it again",
        rule="bundle-damaged",
    )


def not_a_bundle(origin: str) -> UsageError:
    return UsageError(f"{origin} is not a bundle", "give what `iecpod bundle build` has made")


def parse_bundle_manifest(content: bytes, origin: str) -> BundleManifest:
    """Raises `UsageError` where this is no manifest of a bundle, or one of another version."""
    try:
        data = parse_json(content, ValueError, Bounds(size_bytes=MOST_MANIFEST_BYTES))
        _demand(all(map(_is_printable, _texts(data.value))))
        facts = data.at("facts")
        version = facts.integer("bundle_version")
        if version == BUNDLE_VERSION:
            return _read_manifest(data, facts, hashlib.sha256(content).hexdigest())
    except ValueError:
        raise not_a_bundle(origin) from None
    raise UsageError(
        f"{origin} is a bundle of version {version}, and this iecpod reads version {BUNDLE_VERSION}",
        "build it with this version of iecpod",
    )


def _read_manifest(data: Json, facts: Json, digest: str) -> BundleManifest:
    base = facts.at("base")
    return BundleManifest(
        digest=digest,
        release={name: value.value for name, value in facts.at("release").members().items()},
        arch=Arch(facts.text("arch")),
        base=BundledBase(base.text("file"), base.text("format"), base.integer("virtual_size_bytes")),
        images=tuple(
            BundledImage(image.text("reference"), image.text("file"), image.text("image_id"), image.text("digest"))
            for image in facts.at("images").as_entries()
        ),
        files={
            name: BundledFile(entry.integer("size_bytes"), entry.text("sha256"))
            for name, entry in data.at("files").members().items()
        },
    )


def _texts(data: object) -> Iterator[str]:
    """Keys and values."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        yield from data
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)


def _is_printable(text: str) -> bool:
    """Without what moves a cursor or turns the direction of writing."""
    return (text.isascii() and text.isprintable()) or not any(map(_is_control, text))


def _is_control(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf")


def _is_count(value: int) -> bool:
    return 0 <= value < 1 << 63


def _demand(holds: bool) -> None:
    if not holds:
        raise ValueError("not of the form that it needs")
