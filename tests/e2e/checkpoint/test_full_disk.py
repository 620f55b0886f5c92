"""A small POD whose state and checkpoints are on a disk of their own, which is full at the wrong time."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import small_lab
from tests.e2e.checkpoint.saved_pod import SavedPod
from tests.e2e.command import CACHE_DIR, HOSTNAMES, RELEASE, Iecpod
from tests.e2e.teardown import torn_down
from tests.e2e.verified_pod import checkpoints, remove_checkpoints

_OPTIONS = ("-c", "embedded", "--release", RELEASE, "-s", "k8-kube-router-iec-noha", "--until", "reachable")
_NODE = HOSTNAMES[0]
_SIZE = "4g"
#: For notes and logs, and for what the guest writes on its disk: it is paused where that finds no space.
_LEFT_BYTES = 64 << 20
#: Gigabytes take a tmpfs seconds, in which a guest writes; the last of it takes no time.
_LEFT_FIRST_BYTES = 256 << 20


@dataclass(frozen=True)
class SmallDisk:
    root: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        filler = self.root / "filler"
        try:
            with filler.open("wb") as file:
                for left in (_LEFT_FIRST_BYTES, _LEFT_BYTES):
                    status = os.statvfs(self.root)
                    size = status.f_bavail * status.f_frsize - left
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
            yield
        finally:
            filler.unlink()


@pytest.fixture(scope="module")
def disk(base_image: None) -> Iterator[SmallDisk]:
    """With all of the machine's cache but checkpoints, which are next to the state: disks are linked, not copied."""
    root = Path(tempfile.mkdtemp(prefix="iecpod-e2e-full-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0755", "tmpfs", root], check=True)
    try:
        for directory in (path for path in CACHE_DIR.iterdir() if path.is_dir() and path.name != "checkpoints"):
            place = root / "cache" / directory.name
            place.mkdir(parents=True)
            subprocess.run(["mount", "--bind", directory, place], check=True)
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--recursive", root], check=True)
        root.rmdir()


@pytest.fixture(scope="module")
def small(disk: SmallDisk) -> Iterator[SavedPod]:
    small_lab.write_descriptors(disk.root / "base")
    settings = {"IECPOD_CACHE_DIR": str(disk.root / "cache")}
    with torn_down(Iecpod(disk.root, small_lab.LAB, small_lab.SINGLE, settings)) as command:
        command.check("deploy", "-b", f"file://{disk.root}/base", *_OPTIONS)
        yield SavedPod(command)


def _files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


def test_a_save_that_finds_no_room_leaves_a_pod_that_runs_on(disk: SmallDisk, small: SavedPod) -> None:
    boot = small.command.on_node(_NODE, "cat", "/proc/sys/kernel/random/boot_id")
    pool, layers = small.command.pod_dir / "pool", disk.root / "cache/checkpoints/layers"
    before = _files(pool)
    small.command.on_node(_NODE, "sync")
    with disk.full():
        failed = small.checkpoint("save", "--name", "full")
    assert failed.returncode == 1 and "No space left on device" in failed.stderr, failed.stderr
    assert checkpoints(small.command) == [] and _files(layers) == set() and _files(pool) == before
    assert "running" in small.command.virsh("domstate", small.command.machines().pop())
    assert small.command.on_node(_NODE, "cat", "/proc/sys/kernel/random/boot_id") == boot


def test_a_restore_that_finds_no_room_is_repeated(disk: SmallDisk, small: SavedPod) -> None:
    done = small.checkpoint("save", "--name", "mine")
    assert done.returncode == 0, done.stderr
    boot = small.command.on_node(_NODE, "cat", "/proc/sys/kernel/random/boot_id")
    small.command.check("teardown")
    with disk.full():
        (disk.root / "cache/rest").write_bytes(b"\0" * (_LEFT_BYTES - (64 << 10)))
        failed = small.checkpoint("restore", "mine")
        (disk.root / "cache/rest").unlink()
    assert failed.returncode == 4 and "No space left on device" in failed.stderr, "libvirtd cannot even start"
    assert not small.command.pod_dir.exists() and small.verify() == 0
    done = small.checkpoint("restore", "mine")
    assert done.returncode == 0, done.stderr
    assert small.command.on_node(_NODE, "cat", "/proc/sys/kernel/random/boot_id") == boot
    remove_checkpoints(small.command, but=set())
