"""Which PODs have disks on top of images of a cache, including those with state elsewhere and those that are off."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from iecpod.cache.lease import READ_ONLY
from iecpod.files.trusted_paths import make_directory


def note_pod(cache_dir: Path, pod_dir: Path) -> None:
    """Before its disks are made. A POD stays noted: where its directory is gone, or has no such disks, that is seen."""
    note = _notes(cache_dir) / hashlib.sha256(os.fsencode(pod_dir)).hexdigest()[:32]
    try:
        make_directory(note.parent)
        with contextlib.suppress(FileExistsError):
            note.symlink_to(pod_dir)  # a link, since that is there in one step
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise


def noted_pod_dirs(cache_dir: Path) -> list[Path]:
    """Raises `OSError` where that cannot be found out."""
    try:
        return sorted(note.readlink() for note in _notes(cache_dir).iterdir())
    except FileNotFoundError:
        return []


def _notes(cache_dir: Path) -> Path:
    return cache_dir / "images" / "pods"
