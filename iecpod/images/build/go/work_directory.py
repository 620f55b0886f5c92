"""Where Go compiles: kept between builds, so that one that was killed resumes, and bounded in size."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from iecpod.cache.artifacts import Cache
from iecpod.cache.work_directory import staging
from iecpod.errors import ImageError
from iecpod.files.trusted_paths import make_directory
from iecpod.locks import claimed

#: What modules and objects of a release take at most while they are needed (4 GB each). Modules share objects, so to
#: remove them between two of them costs minutes.
USUAL_BYTES = 10 * 1024 * 1024 * 1024
#: Nothing that was measured comes near: at the start there are `USUAL_BYTES` at most, and one module adds to them.
MOST_BYTES = 2 * USUAL_BYTES
#: Adding up the sizes of a hundred thousand files takes a second.
_LOOK_SECONDS = 60.0

_NAME = "go-work"
_LOCK = "go-build"


def work_directory(cache_dir: Path) -> Path:
    return cache_dir / _NAME


@contextmanager
def held_for_build(cache: Cache) -> Iterator[None]:
    """One build at a time, across processes."""
    with cache.lock(_LOCK):
        yield


@dataclass(frozen=True, slots=True)
class AbandonedWork:
    """What an abandoned build left. `changed_at` is a Unix time."""

    path: Path
    changed_at: float
    is_in_use: bool


def find_abandoned_work(cache_dir: Path) -> AbandonedWork | None:
    """None where nothing was left."""
    path = work_directory(cache_dir)
    if not path.is_dir():
        return None
    with _claimed(cache_dir) as is_free:
        return AbandonedWork(path, _changed_at(path), is_in_use=not is_free)


def remove_abandoned_work(cache_dir: Path) -> None:
    """Does nothing if a build is at work. Raises `OSError` for what cannot be removed."""
    with _claimed(cache_dir) as is_free:
        if is_free:
            remove_work(cache_dir)


def remove_work(cache_dir: Path) -> None:
    """For who holds the lock of builds. Modules may be fetched ahead all the same: they do not see half a directory."""
    path = work_directory(cache_dir)
    if path.is_dir():
        with staging(cache_dir, "removed") as stage:
            path.rename(stage / path.name)


def make_room(cache: Cache) -> None:
    """An empty directory for temporary files in a work directory of `USUAL_BYTES` at most.

    For who holds the lock of builds. Raises `ImageError` where the disk is too small for what is missing.
    """
    work = work_directory(cache.root)
    if (used := bytes_below(work)) > USUAL_BYTES:
        cache.reporter.progress(f"removing {used >> 30} GiB that earlier builds left in {work}")
        remove_work(cache.root)
        used = 0
    shutil.rmtree(work / "tmp", ignore_errors=True)  # of a build that was killed
    (work / "tmp").mkdir(parents=True)
    missing = USUAL_BYTES - used - shutil.disk_usage(work).free
    if missing > 0:
        raise ImageError(
            f"compiling takes up to {USUAL_BYTES >> 30} GiB of disk in {cache.root} for as long as it runs; "
            f"{-(-missing >> 30)} GiB are missing",
            "free some disk space, or name a cache on another disk with IECPOD_CACHE_DIR",
        )


@dataclass(slots=True)
class WorkBound:
    """Ends a build that takes more disk than any needs."""

    work: Path
    now: Callable[[], float] = time.monotonic
    _looked_at: float = field(default=float("-inf"))

    def look(self) -> None:
        """Raises `ImageError`."""
        if self.now() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = self.now()
        if bytes_below(self.work) > MOST_BYTES:
            raise ImageError(
                f"compiling has taken more than {MOST_BYTES >> 30} GiB of disk in {self.work}, twice what it needs",
                "run again, which removes that directory first; if it happens again, compare the modules of the "
                "release with those that iecpod brings",
            )


@contextmanager
def _claimed(cache_dir: Path) -> Iterator[bool]:
    locks = cache_dir / "locks"
    make_directory(locks)
    with claimed(locks / f"{_LOCK}.lock") as is_free:
        yield is_free


def _changed_at(path: Path) -> float:
    """Of the directory and of what is directly in it: each build makes directories there."""
    times = [path.lstat().st_mtime]
    for entry in path.iterdir():
        with suppress(FileNotFoundError):
            times.append(entry.lstat().st_mtime)
    return max(times)


def bytes_below(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):  # a partial file that got its name meanwhile
                total += (Path(parent) / name).lstat().st_size
    return total
