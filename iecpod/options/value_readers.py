"""How values of options are read, where that takes more than a type: from the command line, and from a POD's note.

All raise `ValueError` with a sentence for people, unless they say otherwise. Modules that take their time to load are
imported where a note is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from iecpod.home import absolute_path
from iecpod.model import LEAST_MEMORY_MIB
from iecpod.options.choices import VirtType
from iecpod.outside_json import Json
from iecpod.sha256 import is_sha256
from iecpod.units import parse_size_bytes

if TYPE_CHECKING:
    from iecpod.release.container_environment import ContainerEnvironment
    from iecpod.release.mirrors import Supply

_MIB = 1024 * 1024


def parse_memory_mib(text: str) -> int:
    """A size such as `2G` or `1536M`, in MiB."""
    memory_mib = parse_size_bytes(text) // _MIB
    if memory_mib < LEAST_MEMORY_MIB:
        raise ValueError(f"{text} is too little for a node; the least is {LEAST_MEMORY_MIB}M")
    return memory_mib


def parse_virt_type(text: str) -> VirtType | None:
    return None if text == "auto" else VirtType(text)


def parse_digest(text: str) -> str:
    digest = text.lower().removeprefix("sha256:")
    if not is_sha256(digest):
        raise ValueError(f"{text!r} is not a SHA-256: 64 hexadecimal digits")
    return digest


def parse_signers(text: str) -> str:
    """Absolute: a later command may be called elsewhere. Raises `UsageError` for a file in no home."""
    return str(absolute_path(Path(text), "--bundle-signers"))


def read_addressing(found: Json) -> str:
    if found.as_text() not in ("fuel", "compact", "stated"):
        raise ValueError(f"{found.as_text()!r} is no way to choose addresses")
    return found.as_text()


def read_bundle(found: Json) -> str:
    from iecpod.release.bundle_manifest import check_digest

    return check_digest(found.as_text())


def read_image_archives(found: Json) -> tuple[str, ...]:
    from iecpod.release.image_archive import check_archive_digest

    return tuple(check_archive_digest(one.as_text()) for one in found.as_entries())


def read_manifest_patch(found: Json) -> tuple[ContainerEnvironment, ...]:
    from iecpod.release.container_environment import read_environments

    return read_environments(found)


def read_supply(found: Json) -> Supply:
    from iecpod.release.mirrors import read_supply

    return read_supply(found)


def join_supply(known: Supply, given: Supply) -> Supply:
    return known.overlaid(given)


def supply_of_other_release(supply: Supply) -> Supply:
    return supply.of_any_release()
