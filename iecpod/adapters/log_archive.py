"""A tar.gz that is seen under its name only when it is complete, and only by its owner."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from iecpod.errors import UsageError


class LogArchive:
    """Regular files below one directory, `top`, each for its owner only."""

    def __init__(self, tar: tarfile.TarFile, top: str) -> None:
        self._tar = tar
        self._top = top
        self._time = int(time.time())
        directory = self._entry(top, 0o700)
        directory.type = tarfile.DIRTYPE
        tar.addfile(directory)

    def add(self, name: str, content: bytes) -> None:
        entry = self._entry(f"{self._top}/{name}", 0o600)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))

    def _entry(self, name: str, mode: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(name)
        entry.mode, entry.mtime = mode, self._time
        return entry


@contextlib.contextmanager
def new_archive(path: Path, top: str) -> Iterator[LogArchive]:
    """An archive that gets its name at the end, in place of one that has it already; none where the block fails.

    Raises `UsageError` where no file can be made there.
    """
    with _new_file(path) as (file, temporary):
        with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
            yield LogArchive(tar, top)
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(path)


def check_writable(path: Path) -> None:
    """Raises `UsageError` where `path` cannot become a file; tried, since root's permissions say nothing."""
    with _new_file(path):
        pass


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A temporary file beside `path`, mode 0600, which goes at the end unless it was renamed."""
    if path.is_dir():
        raise UsageError(f"the archive cannot be written: {path} is a directory", "name a file in it")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise UsageError(
            f"the archive {path} cannot be written: {error.strerror or error}",
            "name a file in a directory that exists and that you may write to",
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
