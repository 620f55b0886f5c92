"""Work directories of the cache: gone when their work is done, swept when whoever worked there was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from iecpod.adapters.host_programs import call_program
from iecpod.errors import CommandFailed
from iecpod.files.trusted_paths import make_directory
from iecpod.locks import SHORT_SECONDS, Notify, claimed, locked, open_lock, try_lock

#: A tree of millions of files, on a slow disk.
_REMOVAL_SECONDS = 600.0


def _quietly(_holder: str) -> None:
    """For callers without a reporter; the wait is bounded anyway."""


@contextmanager
def staging(
    cache_dir: Path, label: str, notify: Notify = _quietly, *, patience_seconds: float = SHORT_SECONDS
) -> Iterator[Path]:
    """An empty directory on the cache's file system, so that a rename out of it is one step.

    Where others hold the lock of all work directories, `notify` is given who; raises `LockTimeout` after the patience.
    """
    work = cache_dir / "work"
    make_directory(work)
    with locked(work / ".sweep.lock", seconds=patience_seconds, notify=notify):
        others = _directories(work)
        stage = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=work))
        lock_file = _lock_file(stage)
        descriptor = open_lock(lock_file)
        try_lock(descriptor)  # no other process knows it yet
    try:
        for other in others:
            _sweep(other)
        yield stage
    finally:
        _remove(stage)
        lock_file.unlink(missing_ok=True)
        os.close(descriptor)


def find_abandoned(cache_dir: Path) -> list[Path]:
    """Work directories whose owner was killed."""
    work = cache_dir / "work"
    if not work.is_dir():
        return []
    with locked(work / ".sweep.lock", seconds=SHORT_SECONDS, notify=_quietly):
        stages = _directories(work)  # of those that are in use, the lock is held from here on
    found = []
    for stage in stages:
        with _abandoned(stage) as is_free:
            if is_free:
                found.append(stage)
    return found


def remove_abandoned(stage: Path) -> None:
    """Does nothing if a process is working there. Raises `OSError` for what cannot be removed."""
    with _abandoned(stage) as is_free:
        if is_free and stage.exists():
            _remove(stage, ignore_errors=False)


def _remove(stage: Path, *, ignore_errors: bool = True) -> None:
    """However deep it is: Python's removal calls itself for each level, and who makes a tree chooses how deep."""
    try:
        shutil.rmtree(stage, ignore_errors=ignore_errors)
    except RecursionError:
        with suppress(CommandFailed):  # what is left is swept by a later run
            call_program(["rm", "-rf", "--", str(stage)], timeout_seconds=_REMOVAL_SECONDS)


def _directories(work: Path) -> list[Path]:
    return sorted(path for path in work.iterdir() if path.is_dir())


def _sweep(stage: Path) -> None:
    with _abandoned(stage) as is_free:
        if is_free:
            _remove(stage)


@contextmanager
def _abandoned(stage: Path) -> Iterator[bool]:
    """A lock dies with the process that holds it: a directory whose lock is free has no owner any more."""
    with claimed(_lock_file(stage)) as is_free:
        yield is_free
        if is_free:
            _lock_file(stage).unlink(missing_ok=True)


def _lock_file(stage: Path) -> Path:
    return stage.with_name(f"{stage.name}.lock")
