"""The cache: what is made once, kept under its digest, found damaged, and left behind by killed runs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from iecpod.cache.artifacts import Artifact, Cache, find_damage
from iecpod.cache.base_images import ImageStore, NewImage
from iecpod.cache.hashed_files import explain_os_error, recipe_key
from iecpod.cache.work_directory import staging
from iecpod.errors import ImageError
from iecpod.ports import BaseImage
from tests.fakes import RecordingReporter

ROOT = Path(__file__).parents[3]


class Maker:
    """Makes an artifact and counts how often."""

    def __init__(self, content: bytes = b"content") -> None:
        self.content = content
        self.runs = 0

    def __call__(self, directory: Path) -> Mapping[str, Any]:
        self.runs += 1
        (directory / "inner").mkdir()
        (directory / "inner/file").write_bytes(self.content)
        return {"made": self.runs}


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


@pytest.fixture
def cache(tmp_path: Path, reporter: RecordingReporter) -> Cache:
    return Cache(tmp_path, reporter)


def ensure(cache: Cache, make: Callable[[Path], Mapping[str, Any]], recipe: str = "one") -> Artifact:
    return cache.ensure("things", {"recipe": recipe}, make, "making the thing")


def test_artifact_is_made_once(cache: Cache, reporter: RecordingReporter) -> None:
    make = Maker()
    first, second = ensure(cache, make), ensure(cache, make)
    assert first == second
    assert (make.runs, reporter.lines) == (1, ["making the thing"])
    assert first.facts == {"made": 1}
    assert first.files["inner/file"]["size_bytes"] == 7
    assert list((cache.root / "work").glob("things-*")) == []


def test_other_recipe_is_another_artifact(cache: Cache) -> None:
    make = Maker()
    assert ensure(cache, make).path != ensure(cache, make, "two").path
    assert make.runs == 2


def test_key_depends_on_values_only() -> None:
    assert recipe_key({"a": 1, "b": [2, 3]}) == recipe_key({"b": [2, 3], "a": 1})
    assert recipe_key({"a": 1}) != recipe_key({"a": 2})


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "manifest"])
def test_damaged_artifact_is_set_aside_and_made_again(cache: Cache, reporter: RecordingReporter, damage: str) -> None:
    make = Maker()
    path = ensure(cache, make).path
    victim = path / ("manifest.json" if damage == "manifest" else "inner/file")
    if damage == "remove":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-3] if damage in ("truncate", "manifest") else b"CONTENT")
    again = ensure(cache, make)
    assert make.runs == 2
    assert (again.path / "inner/file").read_bytes() == b"content"
    assert path.with_name(path.name + ".corrupt").is_dir()
    assert reporter.lines[-2].startswith(f"warning: {path} does not match its digest: ")


def test_unchanged_file_is_not_hashed_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = ensure(cache, Maker())
    hashed: list[Path] = []

    def note(path: Path) -> str:
        hashed.append(path)
        return ""

    monkeypatch.setattr("iecpod.cache.artifacts.sha256_of_file", note)
    assert find_damage(artifact) == ()
    assert hashed == []
    assert find_damage(artifact, thorough=True) == ("inner/file",)


def test_touched_file_is_hashed_once_more_and_remembered(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = ensure(cache, Maker())
    os.utime(artifact.path / "inner/file", ns=(1, 1))
    assert find_damage(artifact) == ()
    monkeypatch.setattr("iecpod.cache.artifacts.sha256_of_file", lambda path: pytest.fail(f"{path} was hashed"))
    assert find_damage(artifact) == ()


def test_failed_make_leaves_nothing(cache: Cache) -> None:
    def fail(directory: Path) -> Mapping[str, Any]:
        (directory / "half").write_bytes(b"half")
        raise ImageError("no", "yes")

    with pytest.raises(ImageError, match="no"):
        ensure(cache, fail)
    assert not (cache.root / "things").exists()
    assert list((cache.root / "work").glob("things-*")) == []
    make = Maker()
    ensure(cache, make)
    assert make.runs == 1


def test_full_disk_is_explained(cache: Cache) -> None:
    def fill(directory: Path) -> Mapping[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device", str(directory / "file"))

    with pytest.raises(ImageError) as caught:
        ensure(cache, fill)
    assert caught.value.cause.startswith("making the thing: No space left on device: ")
    assert caught.value.remedy == "free some disk space on the file system of the cache and run again"


def test_unknown_os_error_passes_through() -> None:
    with pytest.raises(ConnectionResetError), explain_os_error("doing"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_two_at_once_make_it_once(cache: Cache) -> None:
    entered, go_on = threading.Event(), threading.Event()
    runs = []

    def make_slowly(directory: Path) -> Mapping[str, Any]:
        runs.append(directory)
        entered.set()
        assert go_on.wait(10)
        return Maker()(directory)

    threads = [threading.Thread(target=ensure, args=(cache, make_slowly)) for _ in range(2)]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(runs) == 1


_WORK_FOREVER = """
import sys, time
from pathlib import Path
from iecpod.cache.work_directory import staging
with staging(Path(sys.argv[1]), "killed") as stage:
    (stage / "partial").write_text("partial")
    print(stage, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_is_swept_and_what_runs_is_not(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _WORK_FOREVER, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with staging(tmp_path, "mine"):
            assert (left / "partial").exists()
        process.kill()
    with staging(tmp_path, "mine") as mine:
        assert not left.exists()
        assert mine.is_dir()
    assert [path.name for path in (tmp_path / "work").iterdir()] == [".sweep.lock"]


def add_image(store: ImageStore, content: bytes = b"disk", runs: list[int] | None = None) -> BaseImage:
    def make(work: Path) -> NewImage:
        if runs is not None:
            runs.append(1)
        path = work / "new"
        path.write_bytes(content)
        return NewImage(path, "qcow2", 1024)

    return store.ensure("key", "making the image", make)


def test_image_is_read_only_under_its_digest(cache: Cache) -> None:
    runs: list[int] = []
    store = ImageStore(cache)
    assert store.find("key") is None
    image = add_image(store, runs=runs)
    assert image.path == cache.root / "images" / f"{image.sha256}.qcow2"
    assert image.path.stat().st_mode & 0o777 == 0o444
    assert (image.format, image.virtual_size_bytes) == ("qcow2", 1024)
    assert store.find("key") == image == add_image(store, runs=runs)
    assert len(runs) == 1


@pytest.mark.parametrize("content", [b"dis", b"DISK"])
def test_damaged_image_is_set_aside_and_made_again(cache: Cache, reporter: RecordingReporter, content: bytes) -> None:
    store = ImageStore(cache)
    image = add_image(store)
    image.path.chmod(0o644)
    image.path.write_bytes(content)
    assert store.find("key") is None
    assert add_image(store) == image
    assert image.path.read_bytes() == b"disk"
    assert image.path.with_name(image.path.name + ".corrupt").read_bytes() == content
    assert [line for line in reporter.lines if line.startswith("warning: ")] == [
        f"warning: {image.path} does not match its digest: it was set aside as {image.path.name}.corrupt "
        "and is made again"
    ]


def test_missing_image_is_made_again(cache: Cache) -> None:
    store = ImageStore(cache)
    image = add_image(store)
    image.path.unlink()
    assert store.find("key") is None
    assert add_image(store).path.read_bytes() == b"disk"


def test_broken_index_is_as_good_as_none(cache: Cache) -> None:
    store = ImageStore(cache)
    image = add_image(store)
    (cache.root / "images/index/key.json").write_text("{")
    assert store.find("key") is None
    assert add_image(store) == image


def test_unchanged_image_is_not_hashed_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(cache)
    image = add_image(store)
    index = cache.root / "images/index/key.json"
    os.utime(image.path, ns=(1, 1))
    assert store.find("key") == image
    assert json.loads(index.read_text())["seen"][1] == 1
    monkeypatch.setattr("iecpod.cache.base_images.sha256_of_file", lambda path: pytest.fail(f"{path} was hashed"))
    assert store.find("key") == image


def test_a_work_directory_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    """Deeper than Python calls itself, and than a path is long: packages of others make trees there."""
    with staging(tmp_path, "deep") as stage:
        descriptor = os.open(stage, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("a", dir_fd=descriptor)
            inner = os.open("a", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.close(descriptor)
    assert not stage.exists()
