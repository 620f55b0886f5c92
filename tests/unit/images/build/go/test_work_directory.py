"""The directory in which Go compiles: bounded, kept for the next build, and removed by `gc`."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build.go import work_directory
from iecpod.images.build.go.work_directory import (
    WorkBound,
    find_abandoned_work,
    held_for_build,
    make_room,
    remove_abandoned_work,
)
from tests.fakes import FakeClock, RecordingReporter

GIB = 1024**3
_Usage = namedtuple("_Usage", ("total", "used", "free"))


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


@pytest.fixture
def cache(tmp_path: Path, reporter: RecordingReporter) -> Cache:
    return Cache(tmp_path, reporter)


def _left(cache: Cache, gib: float) -> Path:
    """Of an earlier build; a file with a hole."""
    objects = cache.root / "go-work/objects"
    objects.mkdir(parents=True, exist_ok=True)
    with (objects / "object").open("wb") as file:
        file.truncate(int(gib * GIB))
    return objects / "object"


def _free(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: _Usage(0, 0, int(gib * GIB)))


@pytest.mark.parametrize(("left", "free"), [(0, 10), (2, 8), (10, 0)])
def test_what_an_earlier_build_left_counts_as_room(
    cache: Cache, reporter: RecordingReporter, monkeypatch: pytest.MonkeyPatch, left: float, free: float
) -> None:
    kept = _left(cache, left)
    (cache.root / "go-work/tmp/go-build1").mkdir(parents=True)
    _free(monkeypatch, free)
    make_room(cache)
    assert kept.exists() and reporter.lines == []
    assert list((cache.root / "go-work/tmp").iterdir()) == []


@pytest.mark.parametrize(("left", "free", "missing"), [(0, 9.5, 1), (2, 5, 3), (10.5, 5, 5), (24, 9, 1)])
def test_a_disk_that_is_too_small_is_refused_whatever_was_left(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, left: float, free: float, missing: int
) -> None:
    """More than builds need in all is no head start: with 10 GiB left, a full disk passed for one with room."""
    _left(cache, left)
    _free(monkeypatch, free)
    with pytest.raises(ImageError) as caught:
        make_room(cache)
    assert caught.value.cause == (
        f"compiling takes up to 10 GiB of disk in {cache.root} for as long as it runs; {missing} GiB are missing"
    )


def test_more_than_builds_need_is_removed(
    cache: Cache, reporter: RecordingReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = _left(cache, 11.5)
    _free(monkeypatch, 10)
    make_room(cache)
    assert not left.exists() and (cache.root / "go-work/tmp").is_dir()
    assert reporter.lines == [f"removing 11 GiB that earlier builds left in {cache.root / 'go-work'}"]
    assert [path for path in (cache.root / "work").iterdir() if path.is_dir()] == []


def test_a_build_that_takes_more_than_any_needs_is_ended(cache: Cache) -> None:
    clock = FakeClock()
    bound = WorkBound(cache.root / "go-work", clock.now)
    _left(cache, 20)
    bound.look()
    _left(cache, 20.5)
    bound.look()  # not that often
    clock.sleep(60)
    with pytest.raises(ImageError, match=r"has taken more than 20 GiB of disk in .*/go-work, twice what it needs"):
        bound.look()


def test_an_abandoned_build_is_found_and_removed(cache: Cache) -> None:
    assert find_abandoned_work(cache.root) is None
    left = _left(cache, 1)
    for path in (left.parent, left.parent.parent):
        os.utime(path, (0, 0))
    work = find_abandoned_work(cache.root)
    assert work is not None
    assert (work.path, work.changed_at, work.is_in_use) == (cache.root / "go-work", 0, False)
    with held_for_build(cache):
        work = find_abandoned_work(cache.root)
        assert work is not None and work.is_in_use
        remove_abandoned_work(cache.root)
        assert left.exists()
    remove_abandoned_work(cache.root)
    remove_abandoned_work(cache.root)
    assert not work.path.exists()


def test_the_last_build_counts_as_its_age(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build makes a directory of temporary files again."""
    _left(cache, 0)
    os.utime(cache.root / "go-work", (0, 0))
    (cache.root / "go-work/tmp").mkdir()
    os.utime(cache.root / "go-work", (0, 0))
    work = find_abandoned_work(cache.root)
    assert work is not None and work.changed_at == (cache.root / "go-work/tmp").stat().st_mtime
    assert work_directory.USUAL_BYTES < work_directory.MOST_BYTES
