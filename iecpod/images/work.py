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


def find_abandoned(cache_dir: Path) -> list[Path]:
    """Work directories whose owner was killed."""
    work = cache_dir / "work"
    if not work.is_dir():
        return []
    with filelock.FileLock(work / ".sweep.lock"):  # a new directory is seen with its lock held
        found = []
        for stage in sorted(path for path in work.iterdir() if path.is_dir()):
            with _claimed(stage) as is_free:
                if is_free:
                    found.append(stage)
        return found


def remove_abandoned(stage: Path) -> None:
    """Nothing where somebody works there. Raises `OSError` for what cannot be removed."""
    with _claimed(stage) as is_free:
        if is_free and stage.exists():
            shutil.rmtree(stage)


def _sweep(work: Path) -> None:
    for stage in [path for path in work.iterdir() if path.is_dir()]:
        with _claimed(stage) as is_free:
            if is_free:
                shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _claimed(stage: Path) -> Iterator[bool]:
    """A lock dies with the process that holds it: a directory whose lock is free has no owner any more."""
    lock = filelock.FileLock(stage.with_name(f"{stage.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
