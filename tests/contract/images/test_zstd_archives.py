"""Archives and layers that are compressed with zstd, read by the confined program of this host."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.errors import ImageError, UsageError
from iecpod.images.archives.docker_archive import read_image_ids
from iecpod.images.archives.import_archive import load_image_archive, take_in
from iecpod.model import Arch
from tests.fakes import RecordingReporter
from tests.image_archives import CALICO, docker_files, layout_files, sha256, tar_of, write, zstd

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can confine a program"),
    pytest.mark.skipif(shutil.which("zstd") is None, reason="bootstrap.sh installs zstd"),
]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", RecordingReporter())


def test_archive_and_layers_may_be_compressed_with_zstd(cache: Cache, tmp_path: Path) -> None:
    image = dataclasses.replace(CALICO, packed=zstd)
    for files in (docker_files(CALICO), layout_files(image)):
        archive = load_image_archive(cache.root, take_in(cache, write(tmp_path, files, zstd)))
        assert read_image_ids(archive.file(Arch.X86_64)) == {CALICO.names[0]: sha256(CALICO.config)}


def test_one_that_was_cut_off_is_refused(cache: Cache, tmp_path: Path) -> None:
    """Whether the tar or zstd is the first to notice."""
    path = write(tmp_path, docker_files(CALICO), lambda content: zstd(content + os.urandom(1 << 20)))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ImageError, match="`zstd` exited with 1"):
        take_in(cache, path)


def test_more_behind_its_end_than_padding_is_refused(cache: Cache, tmp_path: Path) -> None:
    """Also a gigabyte of nothing in some kilobytes."""
    path = write(tmp_path, docker_files(CALICO), lambda content: zstd(content + bytes(1 << 30)))
    assert path.stat().st_size < 1 << 18
    with pytest.raises(UsageError, match="more than 16777216 bytes behind its end"):
        take_in(cache, path)


def test_a_window_that_would_take_gigabytes_is_refused(cache: Cache, tmp_path: Path) -> None:
    source = tmp_path / "plain"
    with source.open("wb") as file:
        file.write(tar_of(docker_files(CALICO)))
        file.truncate(300 << 20)
    path = tmp_path / "images.tar"
    argv = ["zstd", "-q", "-1", "--long=28", str(source), "-o", str(path)]
    subprocess.run(argv, check=True)
    with pytest.raises(ImageError, match=r"(?i)memory"):
        take_in(cache, path)
