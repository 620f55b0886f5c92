"""What of a POD's directory belongs to its checkpoints: keys and kubeconfig, for the owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from iecpod.checkpoints.manifest import Checkpoint
from iecpod.files.reader import read_own
from iecpod.files.trusted_paths import make_directory
from iecpod.files.writer import PRIVATE, replace_file
from iecpod.pods.directory import KUBECONFIG

#: Where they are in a checkpoint.
_POD = "pod"

_KEYS = "keys"


def take_files(pod_dir: Path, directory: Path) -> Iterator[tuple[str, Path]]:
    """Copies them into the directory of a checkpoint. Names and paths of the copies."""
    keys = sorted(path for path in (pod_dir / _KEYS).iterdir() if path.is_file() and not path.is_symlink())
    for path in (*keys, pod_dir / KUBECONFIG):
        if not path.exists():  # the POD has no cluster yet
            continue
        name = f"{_POD}/{path.relative_to(pod_dir)}"
        copy = directory / name
        for parent in (directory / _POD, copy.parent):
            parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(copy, read_own(path), PRIVATE)
        yield name, copy


def put_files_back(checkpoint: Checkpoint, directory: Path, pod_dir: Path) -> None:
    """Into the directory of a POD, which exists."""
    for file in checkpoint.files:
        name = PurePath(file.name).relative_to(_POD)
        if len(name.parts) > 1:
            make_directory(pod_dir / name.parts[0], 0o700)
        replace_file(pod_dir / name, read_own(directory / file.name), PRIVATE)


def own_file(path: Path) -> None:
    """libvirt may have made it for QEMU's user: no other user may change or read it."""
    os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
    path.chmod(PRIVATE)
