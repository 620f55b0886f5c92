"""Locks between processes: only their owner can open one, and each wait is reported and bounded."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iecpod.adapters.pod_lock import pod_lock
from iecpod.cache.artifacts import Cache
from iecpod.cache.lease import hold, is_held
from iecpod.cache.work_directory import find_abandoned, staging
from iecpod.errors import HostError, PodLocked
from iecpod.locks import LockTimeout, claimed, holder_of, locked, open_lock
from iecpod.model import PodRef
from tests.fakes import RecordingReporter
from tests.unit.command_line import layout_below

#: Holds flock(2) on a file that it can open for reading only, and says so.
_FOREIGN = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def foreign_lock(path: Path) -> Iterator[str]:
    """The words by which its holder is known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with subprocess.Popen([sys.executable, "-c", _FOREIGN, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        yield f"process {holder.pid} ({Path(f'/proc/{holder.pid}/comm').read_text().strip()})"
        holder.kill()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def never(_holder: str) -> None:
    pytest.fail("it waited")


def test_a_lock_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache = Cache(tmp_path / "cache", RecordingReporter())
        with cache.lock("thing"), cache.staging("thing"):
            cache.hold("thing")
            layout = layout_below(tmp_path)
            with pod_lock(layout, PodRef("lab", "pod"), wait_seconds=0):
                files = [path for path in tmp_path.rglob("*") if path.is_file()]
                assert {path.name: mode_of(path) for path in files} == {
                    "thing.lock": 0o600,
                    ".sweep.lock": 0o600,
                    next((cache.root / "work").glob("thing-*.lock")).name: 0o600,
                    "thing.use": 0o600,
                    "pod.lock": 0o600,
                    "pod.holder": 0o600,
                }
    finally:
        os.umask(before)


def test_a_lock_file_of_an_older_version_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(0o644)
    os.close(open_lock(path))
    assert mode_of(path) == 0o600


def test_no_link_is_followed_and_no_pipe_is_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "made-by-nobody")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError) as caught:
            open_lock(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    assert not (tmp_path / "made-by-nobody").exists()


def test_a_lock_does_not_outlive_its_block_nor_pass_to_other_programs(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "lock", seconds=0, notify=never):
        child = subprocess.Popen(["sleep", "60"])
        raise RuntimeError
    with claimed(tmp_path / "lock") as is_free:
        assert is_free
    child.kill()
    child.wait()


def test_whoever_waits_says_for_whom_and_gives_up(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    shown: list[str] = []
    with foreign_lock(path) as holder:
        start = time.monotonic()
        with pytest.raises(LockTimeout) as caught, locked(path, seconds=0.3, notify=shown.append):
            pytest.fail("two held the lock")
        assert 0.3 <= time.monotonic() - start < 5
    assert shown == [holder]
    assert caught.value.cause == f"{path} is locked by {holder}, and was not free within 0.3 s"
    assert "end that process if it is not iecpod" in caught.value.remedy


def test_a_lock_that_comes_free_is_taken(tmp_path: Path) -> None:
    shown: list[str] = []
    with foreign_lock(tmp_path / "lock") as holder:
        pid = int(holder.split()[1])
        stopper = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill {pid}"])
        with locked(tmp_path / "lock", seconds=30, notify=shown.append):
            assert shown == [holder]
        stopper.wait()


def test_nobody_is_named_who_only_has_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path, seconds=0, notify=never):
        reader = subprocess.Popen(["sleep", "60"], stdin=path.open())
        assert holder_of(path) == ""
        reader.kill()
        reader.wait()


def test_a_foreign_lock_on_the_work_directories_blocks_no_build_silently(tmp_path: Path) -> None:
    reporter = RecordingReporter()
    cache = Cache(tmp_path, reporter)
    with foreign_lock(tmp_path / "work" / ".sweep.lock") as holder:
        with (
            pytest.raises(LockTimeout) as caught,
            staging(tmp_path, "image", reporter.progress, patience_seconds=0.2),
        ):
            pytest.fail("it did not wait")
        assert reporter.lines == [holder]
        assert str(tmp_path / "work" / ".sweep.lock") in caught.value.cause and holder in caught.value.cause
        cache._described("holds the lock")(holder)
    assert reporter.lines[-1] == f"waiting for another run that holds the lock: {holder}"
    with cache.staging("image") as stage:
        assert stage.is_dir()


def test_a_foreign_lock_on_a_lease_does_not_either(tmp_path: Path) -> None:
    shown: list[str] = []
    with foreign_lock(tmp_path / "locks" / "thing.use") as holder:
        with pytest.raises(HostError, match=r"thing\.use is locked by process"):
            hold(tmp_path, "thing", shown.append, patience_seconds=0.2)
        assert shown == [holder] and is_held(tmp_path, "thing")
    assert not is_held(tmp_path, "thing"), "what was not got is not kept open"


def test_a_foreign_lock_on_a_pod_is_reported(tmp_path: Path) -> None:
    layout = layout_below(tmp_path)
    with (
        foreign_lock(layout.runtime_dir / "locks" / "lab" / "pod.lock") as holder,
        pytest.raises(PodLocked) as caught,
        pod_lock(layout, PodRef("lab", "pod"), wait_seconds=0.2),
    ):
        pytest.fail("two held the lock")
    assert caught.value.cause == f"{holder} is at work on POD lab/pod"


def test_a_sweep_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removing what a killed build left can take minutes: others make their directories meanwhile."""
    left = tmp_path / "work" / "image-left"
    left.mkdir(parents=True)

    def remove(stage: Path, **_options: object) -> None:
        monkeypatch.undo()
        assert stage == left
        with staging(tmp_path, "other", never, patience_seconds=0):
            pass
        left.rmdir()

    monkeypatch.setattr("shutil.rmtree", remove)
    with staging(tmp_path, "mine", never, patience_seconds=0):
        assert not left.exists()
    assert find_abandoned(tmp_path) == []
