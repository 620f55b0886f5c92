"""A bundle as a disk that guests mount: one file in the cache, which every guest of this host reads and none copies."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import Cache, artifact_lease, find_damage, load_artifact
from iecpod.cache.hashed_files import place_file
from iecpod.design.machines import BundleDisk
from iecpod.images.build.node_software import find_software, software_recipe
from iecpod.images.confinement.tool import run_tool
from iecpod.model import Arch
from iecpod.naming import BUNDLE_DISK, NAMESPACE
from iecpod.ports import Reporter
from iecpod.release.image_archive import images_recipe
from iecpod.release.release import Release

_KIND = "bundle-disks"
_FILE = "bundle.img"

#: A change of what this module writes changes every disk.
_VERSION = 1

_BLOCK_BYTES = 4096
#: Bitmaps, tables of inodes, directories and blocks of extents, beside 2% of the content.
_SPARE_BLOCKS = 1024
#: Those of every kernel since 3.x, whatever this host's mke2fs has as its default.
_FEATURES = "none,extent,filetype,large_file,sparse_super"
_TIMES = ("atime", "ctime", "mtime")
_AT_A_FIXED_TIME = {"E2FSPROGS_FAKE_TIME": "1"}


@dataclass(frozen=True, slots=True)
class ReleaseBundleDisks:
    """`BundleDisks` of a release, in the cache."""

    release: Release
    cache_dir: Path
    apt_mirror: str
    reporter: Reporter

    def disk(self, arch: Arch) -> BundleDisk:
        place = self._place(arch)
        return BundleDisk(str(place / _FILE), _file_system_uuid(place))

    def is_made(self, arch: Arch) -> bool:
        place = self._place(arch)
        self._cache.hold(artifact_lease(_KIND, place.name))
        artifact = load_artifact(place, place.name)
        return artifact is not None and not find_damage(artifact)

    def ensure(self, arch: Arch) -> None:
        def make(directory: Path) -> Mapping[str, Any]:
            software = find_software(self._cache, self.release, arch, self.apt_mirror)
            files = (*software.debs, *software.programs, *software.images)
            content = {str(path.relative_to(software.path)): path for path in files}
            log_path = self._cache.log_path(f"bundle-disk-{self.release.name}-{arch.debian}")
            with self._cache.staging("bundle-disk") as work:
                write_disk(content, work, directory / _FILE, _file_system_uuid(self._place(arch)), log_path)
            return {"release": self.release.name, "kubernetes": self.release.kubernetes_version, "arch": arch.debian}

        self._cache.ensure(_KIND, self._recipe(arch), make, f"making the disk of the bundle of {self.release.name}")

    @property
    def _cache(self) -> Cache:
        return Cache(self.cache_dir, self.reporter)

    def _place(self, arch: Arch) -> Path:
        return self._cache.place(_KIND, self._recipe(arch))

    def _recipe(self, arch: Arch) -> dict[str, Any]:
        archives = images_recipe(self.release.image_archives, arch)
        provided = self.release.provided
        if provided is not None:
            return {"version": _VERSION, "provided": provided.digest, **archives}
        return {
            "version": _VERSION,
            "software": self._cache.place("software", software_recipe(self.release, arch)).name,
            **archives,
        }


def write_disk(content: Mapping[str, Path], work: Path, disk: Path, file_system_uuid: str, log_path: Path) -> None:
    """An ext4 file system of files by name, which no journal makes ready to be written: equal for equal content.

    `work` is an empty directory, best where hard links to the files are possible. Raises `ImageError`.
    """
    tree = work / "tree"
    tree.mkdir()
    for name, path in content.items():
        place_file(path, tree / name)
    paths = sorted(tree.rglob("*"))
    blocks = sum(-(-path.stat().st_size // _BLOCK_BYTES) for path in paths)
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", _FEATURES, "-b", str(_BLOCK_BYTES), "-I", "256", "-m", "0"]
    argv += ["-N", str(len(paths) + 64), "-L", BUNDLE_DISK, "-U", file_system_uuid]
    argv += ["-E", f"root_owner=0:0,lazy_itable_init=0,hash_seed={file_system_uuid}"]
    argv += ["-d", str(tree), str(disk), str(blocks * 102 // 100 + _SPARE_BLOCKS)]
    run_tool(argv, purpose="filling the disk of the bundle", log_path=log_path, environment=_AT_A_FIXED_TIME)
    script = work / "inodes"
    script.write_text("".join(_settled_inodes(paths, tree)))
    run_tool(
        ["debugfs", "-w", "-f", str(script), str(disk)],
        purpose="settling times and owners on the disk of the bundle",
        log_path=log_path,
        environment=_AT_A_FIXED_TIME,
    )
    disk.chmod(0o444)


def _settled_inodes(paths: list[Path], tree: Path) -> Iterator[str]:
    """Commands of debugfs: mke2fs takes times, owners and modes from the files of this host."""
    for path in (tree, *paths):
        mode = "040755" if path.is_dir() else "0100644"
        fields = {**dict.fromkeys(_TIMES, "@1"), "uid": "0", "gid": "0", "mode": mode}
        yield from (f'sif "/{path.relative_to(tree)}" {field} {value}\n' for field, value in fields.items())


def _file_system_uuid(place: Path) -> str:
    return str(uuid.uuid5(NAMESPACE, f"bundle disk {place.name}"))
