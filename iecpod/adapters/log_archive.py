"""A tar.gz that is seen under its name only when it is complete, and only by its owner."""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from iecpod.errors import UsageError
from iecpod.files.writer import PRIVATE, new_file, try_new_file


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
    check_writable(path)
    with new_file(path, PRIVATE) as file, tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        yield LogArchive(tar, top)


def check_writable(path: Path) -> None:
    """Raises `UsageError` where `path` cannot become a file."""
    if path.is_dir():
        raise UsageError(f"the archive cannot be written: {path} is a directory", "name a file in it")
    try:
        try_new_file(path)
    except OSError as error:
        raise UsageError(
            f"the archive {path} cannot be written: {error.strerror or error}",
            "name a file in a directory that exists and that you may write to",
        ) from error
