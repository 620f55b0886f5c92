"""Work directories of the cache: gone when their work is done, swept when whoever worked there was killed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock


@contextmanager
def staging(cache_dir: Path, label: str) -> Iterator[Path]:
    """An empty directory on the cache's file system, so that a rename out of it is one step."""
    work = cache_dir / "work"
    work.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(work / ".sweep.lock"):
        _sweep(work)
        stage = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=work))
        in_use = filelock.FileLock(work / f"{stage.name}.lock")
        in_use.acquire(timeout=0)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        in_use.release()
        Path(in_use.lock_file).unlink(missing_ok=True)


def _sweep(work: Path) -> None:
    """A lock dies with the process that holds it: a directory whose lock is free has no owner any more."""
    for stage in work.iterdir():
        if not stage.is_dir():
            continue
        lock = filelock.FileLock(work / f"{stage.name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        shutil.rmtree(stage, ignore_errors=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
