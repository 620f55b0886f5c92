"""Base images under their digests, read-only, and an index from what an image is made of to the image.

What `find` and `ensure` return is held (`lease`): it is not removed before this process has made its overlays and ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from iecpod.cache.artifacts import Cache
from iecpod.cache.hashed_files import (
    Fingerprint,
    plain_status,
    read_json,
    sha256_of_file,
    write_json,
)
from iecpod.files.trusted_paths import is_ours, make_directory
from iecpod.files.writer import commit_file
from iecpod.ports import BaseImage
from iecpod.sha256 import is_sha256

#: Of an entry that says nothing of what its image is.
NO_FACTS: Mapping[str, str] = MappingProxyType({})

#: They are suffixes of files, too.
FORMATS = ("qcow2", "raw")


@dataclass(frozen=True, slots=True)
class NewImage:
    """A finished disk in a work directory, on its way into the store."""

    path: Path
    format: str
    virtual_size_bytes: int


@dataclass(frozen=True, slots=True)
class ImageStore:
    """`images/<sha256>.<format>` and `images/index/<key>.json` of a cache."""

    cache: Cache

    def ensure(
        self, key: str, doing: str, make: Callable[[Path], NewImage], facts: Mapping[str, str] = NO_FACTS
    ) -> BaseImage:
        """The image of that key, checked; `make` builds it in an empty directory where it is missing or damaged.

        `facts` are kept in the index for people: what the image is.
        """
        return self.cache.find_or_add(
            "image",
            key[:32],
            doing,
            find=lambda: self.find(key),
            clear=lambda: self._set_aside(key),
            add=lambda work: self._add(key, make(work), facts),
        )

    def find(self, key: str) -> BaseImage | None:
        """None where the image is not there or is not what it was.

        An unchanged file is not hashed again, unless others may change it: libvirt gives disks to QEMU's user.
        """
        entry = self._read_entry(key)
        if entry is None:
            return None
        self.cache.hold(image_lease(entry["sha256"]))
        image = BaseImage(
            path=self._path(entry["sha256"], entry["format"]),
            sha256=entry["sha256"],
            format=entry["format"],
            virtual_size_bytes=entry["virtual_size_bytes"],
        )
        status = plain_status(image.path)
        if status is None:
            return None
        fingerprint = Fingerprint.from_status(status).as_list()
        if fingerprint != entry["seen"] or not is_ours(status):
            if fingerprint[0] != entry["seen"][0] or sha256_of_file(image.path) != image.sha256:
                return None
            with contextlib.suppress(OSError):  # a store that can only be read is still a store
                write_json(self._entry_path(key), {**entry, "seen": fingerprint})
        return image

    @property
    def _directory(self) -> Path:
        return self.cache.root / "images"

    def _path(self, sha256: str, image_format: str) -> Path:
        return self._directory / f"{sha256}.{image_format}"

    def _entry_path(self, key: str) -> Path:
        return self._directory / "index" / f"{key}.json"

    def _read_entry(self, key: str) -> Mapping[str, Any] | None:
        """None for what `_add` has not written."""
        entry = read_json(self._entry_path(key))
        wanted = {"sha256", "format", "virtual_size_bytes", "seen"}
        if not isinstance(entry, dict) or not wanted <= entry.keys() or entry["format"] not in FORMATS:
            return None
        return entry if is_sha256(str(entry["sha256"])) else None

    def _set_aside(self, key: str) -> None:
        """A damaged file, which overlays of running guests keep open."""
        entry = self._read_entry(key)
        if entry is not None:
            self.cache.set_aside(self._path(entry["sha256"], entry["format"]))

    def _add(self, key: str, new: NewImage, facts: Mapping[str, str]) -> BaseImage:
        digest = sha256_of_file(new.path)
        self.cache.hold(image_lease(digest))
        final = self._path(digest, new.format)
        make_directory(self._directory / "index")
        commit_file(new.path, final, 0o444)
        entry = {
            "sha256": digest,
            "format": new.format,
            "virtual_size_bytes": new.virtual_size_bytes,
            "seen": Fingerprint.of(final).as_list(),
            "facts": dict(facts),
        }
        write_json(self._entry_path(key), entry)
        return BaseImage(path=final, sha256=digest, format=new.format, virtual_size_bytes=new.virtual_size_bytes)


def image_lease(digest: str) -> str:
    """The name by which `lease` knows an image."""
    return f"image-{digest}"


def lease_of_image_file(name: str) -> str:
    """The same, by the name of its file."""
    return image_lease(name.partition(".")[0])
