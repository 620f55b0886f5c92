"""The disk of a bundle: real file systems, made of small files and read back."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError
from iecpod.images.build.node_software import software_recipe
from iecpod.images.bundle.bundle_disk import ReleaseBundleDisks, write_disk
from iecpod.model import Arch
from iecpod.release.release import Release
from tests.fakes import RecordingReporter
from tests.unit.images.test_images import load

UUID = "6f9a1c1e-0000-5000-8000-000000000000"
NAMES = ("debs/runc_1%3a1+b2_amd64.deb", "debs/a.deb", "bin/kubeadm", "images/images.tar")


def content(directory: Path, names: tuple[str, ...] = NAMES) -> dict[str, Path]:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(f"content of {name}\n".encode() * 4000)
    return {name: directory / name for name in names}


def write(files: Mapping[str, Path], work: Path) -> Path:
    work.mkdir(parents=True)
    disk = work.with_suffix(".img")
    write_disk(files, work, disk, UUID, work.with_suffix(".log"))
    return disk


def ask(disk: Path, request: str) -> str:
    done = subprocess.run(["debugfs", "-R", request, str(disk)], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_disk_holds_the_files_and_is_sound(tmp_path: Path) -> None:
    files = content(tmp_path / "bundle")
    disk = write(files, tmp_path / "work")
    for name, path in files.items():
        out = tmp_path / "out"
        ask(disk, f'dump "/{name}" {out}')
        assert out.read_bytes() == path.read_bytes()
    checked = subprocess.run(["e2fsck", "-f", "-n", str(disk)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    head = ask(disk, "show_super_stats -h")
    assert UUID in head and "iecpod-bundle" in head and "has_journal" not in head
    assert disk.stat().st_mode & 0o777 == 0o444


def test_equal_content_makes_equal_bytes(tmp_path: Path) -> None:
    """Whenever, wherever, and by whomever the files were written."""
    one = write(content(tmp_path / "one"), tmp_path / "first")
    files = content(tmp_path / "two", tuple(reversed(NAMES)))
    for path in files.values():
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    (tmp_path / "two/bin").chmod(0o700)
    assert write(files, tmp_path / "second").read_bytes() == one.read_bytes()
    files["bin/kubeadm"].write_text("another")
    assert write(files, tmp_path / "third").read_bytes() != one.read_bytes()


def test_many_and_large_files_fit(tmp_path: Path) -> None:
    files = content(tmp_path / "bundle", tuple(f"debs/{number}.deb" for number in range(400)))
    (tmp_path / "bundle/images").mkdir()
    files["images/images.tar"] = tmp_path / "bundle/images/images.tar"
    files["images/images.tar"].write_bytes(os.urandom(1 << 20) * 40)
    disk = write(files, tmp_path / "work")
    assert ask(disk, 'stat "/images/images.tar"').count(f"Size: {40 << 20}") == 1


def test_files_of_another_file_system_are_copied(tmp_path: Path) -> None:
    linked = write(content(tmp_path / "bundle"), tmp_path / "linked").read_bytes()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if Path(elsewhere).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second file system")
        assert write(content(Path(elsewhere)), tmp_path / "copied").read_bytes() == linked


def test_what_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with pytest.raises(ImageError, match="filling the disk of the bundle: `mke2fs` exited with 1"):
        write_disk(content(tmp_path / "b"), tmp_path / "work", tmp_path / "no/where.img", UUID, tmp_path / "log")


def with_cached_software(release: Release, cache_dir: Path) -> Path:
    """Small files at the place of the release's own software."""

    def make(directory: Path) -> Mapping[str, Any]:
        content(directory, (*NAMES, "base/disk.qcow2"))
        return {"images": []}

    recipe = software_recipe(release, Arch.X86_64)
    return Cache(cache_dir, RecordingReporter()).ensure("software", recipe, make, "making").path


def test_the_disk_of_a_release_is_made_once_and_again_when_it_is_damaged(tmp_path: Path) -> None:
    release = load("debian12")
    bundle = with_cached_software(release, tmp_path)
    reporter = RecordingReporter()
    disks = ReleaseBundleDisks(release, tmp_path, "", reporter)
    disk = disks.disk(Arch.X86_64)
    path = Path(disk.path)
    assert not path.exists() and not disks.is_made(Arch.X86_64)
    disks.ensure(Arch.X86_64)
    assert disks.is_made(Arch.X86_64) and disks.disk(Arch.X86_64) == disk
    assert disk.uuid in ask(path, "show_super_stats -h")
    listed = ask(path, "ls -p /")
    assert "/debs/" in listed and "/base/" not in listed, "nodes install no base image"
    inode = path.stat().st_ino
    disks.ensure(Arch.X86_64)
    assert path.stat().st_ino == inode and reporter.lines == ["making the disk of the bundle of debian12"]
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert not disks.is_made(Arch.X86_64)
    disks.ensure(Arch.X86_64)
    assert disks.is_made(Arch.X86_64)
    assert all((bundle / name).is_file() for name in NAMES)


def test_another_bundle_is_another_disk(tmp_path: Path) -> None:
    release = load("debian12")
    other = dataclasses.replace(release, pause_image="k8s.gcr.io/pause:3.3")
    disks = [
        ReleaseBundleDisks(release, tmp_path, "", RecordingReporter()).disk(Arch.X86_64),
        ReleaseBundleDisks(release, tmp_path, "", RecordingReporter()).disk(Arch.AARCH64),
        ReleaseBundleDisks(other, tmp_path, "", RecordingReporter()).disk(Arch.X86_64),
    ]
    assert len({disk.path for disk in disks}) == len({disk.uuid for disk in disks}) == 3
