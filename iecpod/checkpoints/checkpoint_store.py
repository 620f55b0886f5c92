"""Where checkpoints are: `checkpoints` of the cache.

`saved/ID` (0700) has memory, NVRAM, keys and the manifest; it gets its name when all of it is on the disk. `layers` has
the disks, which guests rest on: QEMU's user passes through that directory, lists nothing, and only root changes
what is in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from iecpod.cache.hashed_files import write_json
from iecpod.cache.lease import alone, hold, is_held, last_use
from iecpod.cache.work_directory import staging
from iecpod.checkpoints.digests import SEEN, find_damage
from iecpod.checkpoints.manifest import Checkpoint, read_manifest
from iecpod.errors import PathRefused
from iecpod.files.reader import read_own
from iecpod.files.trusted_paths import make_directory
from iecpod.files.writer import PRIVATE, commit_tree, replace_file, sync_path
from iecpod.locks import Notify

MANIFEST = "manifest.json"
_LAYERS_LEASE = "checkpoint-layers"
_BLOCK_BYTES = 512
_PASSABLE, _PRIVATE = 0o711, 0o700


def checkpoints_dir(cache_dir: Path) -> Path:
    return cache_dir / "checkpoints"


@dataclass(frozen=True, slots=True)
class Kept:
    """A directory of `saved`. Where its manifest cannot be read, `checkpoint` is None, and `why` says the reason."""

    id: str
    path: Path
    checkpoint: Checkpoint | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class NewCheckpoint:
    """A directory that is being filled, and its future name."""

    id: str
    directory: Path


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """The checkpoints of one cache."""

    cache_dir: Path

    @property
    def root(self) -> Path:
        return checkpoints_dir(self.cache_dir)

    @property
    def layers_dir(self) -> Path:
        return self.root / "layers"

    def directory(self, checkpoint_id: str) -> Path:
        return self.root / "saved" / checkpoint_id

    def layer(self, name: str) -> Path:
        return self.layers_dir / name

    def find_all(self) -> list[Kept]:
        """Those of all PODs, the latest first; makes nothing."""
        saved = self.root / "saved"
        found = [_load(path) for path in saved.iterdir()] if saved.is_dir() else []
        return sorted(found, key=_made_at, reverse=True)

    @contextmanager
    def new(self, notify: Notify) -> Iterator[NewCheckpoint]:
        """A directory to fill; what the block leaves without `commit` goes. No layer is removed meanwhile."""
        make_directory(self.root, _PASSABLE)
        make_directory(self.layers_dir, _PASSABLE)
        make_directory(self.root / "saved", _PRIVATE)
        hold(self.cache_dir, _LAYERS_LEASE, notify)
        checkpoint_id = uuid.uuid4().hex[:12]
        with staging(self.root, "checkpoint", notify) as stage:
            directory = stage / checkpoint_id
            directory.mkdir(mode=_PRIVATE)
            yield NewCheckpoint(checkpoint_id, directory)

    def commit(self, new: NewCheckpoint, checkpoint: Checkpoint) -> None:
        """Gives it its name; from then on it is there, also after a crash of the host."""
        for layer in checkpoint.layers:
            sync_path(self.layer(layer.name))
        sync_path(self.layers_dir)
        replace_file(new.directory / MANIFEST, checkpoint.to_json(), PRIVATE)
        commit_tree(new.directory, self.directory(checkpoint.id))
        self.write_seen(checkpoint, find_damage(self.paths(checkpoint), {}, hash_all=False).seen)

    def paths(self, checkpoint: Checkpoint) -> dict[Path, tuple[str, int]]:
        """Digest and size of each file of it, by its path."""
        directory = self.directory(checkpoint.id)
        own = {directory / file.name: (file.sha256, file.size_bytes) for file in checkpoint.own_files}
        return own | {self.layer(layer.name): (layer.sha256, layer.size_bytes) for layer in checkpoint.layers}

    def write_seen(self, checkpoint: Checkpoint, seen: dict[str, list[int]]) -> None:
        with suppress(OSError):  # a cache that can only be read is still a cache
            write_json(self.directory(checkpoint.id) / SEEN, seen)

    def hold(self, checkpoint_id: str, notify: Notify) -> None:
        """Nobody removes it while this process runs."""
        hold(self.cache_dir, _lease(checkpoint_id), notify)

    def alone(self, checkpoint_id: str) -> AbstractContextManager[bool]:
        """Whether no other process is at work with it."""
        return alone(self.cache_dir, _lease(checkpoint_id))

    def is_held(self, checkpoint_id: str) -> bool:
        return is_held(self.cache_dir, _lease(checkpoint_id))

    def used_at(self, kept: Kept) -> float:
        """As Unix time: when it was saved, or last restored."""
        return max(kept.path.stat().st_mtime, last_use(self.cache_dir, _lease(kept.id)) or 0.0)

    def remove(self, checkpoint_id: str) -> None:
        """For who is alone with it: in one step. Its layers stay, and go with `remove_layers`."""
        path = self.directory(checkpoint_id)
        with staging(self.root, "removed") as stage:
            path.rename(stage / path.name)

    def free_layers(self) -> list[Path]:
        """Layers that no checkpoint has; disks of PODs may rest on them yet. None where a manifest cannot be read."""
        kept = self.find_all()
        if any(one.checkpoint is None for one in kept):
            return []
        named = {layer.name for one in kept if one.checkpoint is not None for layer in one.checkpoint.layers}
        layers = sorted(self.layers_dir.iterdir()) if self.layers_dir.is_dir() else []
        return [layer for layer in layers if layer.name not in named]

    @contextmanager
    def alone_with_layers(self) -> Iterator[bool]:
        """Whether no checkpoint is being saved; where that is so, none is until the block ends."""
        with alone(self.cache_dir, _LAYERS_LEASE) as is_alone:
            yield is_alone

    def size_bytes(self, kept: Kept) -> int:
        """What it takes of the disk, with its layers, which others may have, too."""
        files = [path for path in kept.path.rglob("*") if path.is_file() and not path.is_symlink()]
        files += [self.layer(layer.name) for layer in kept.checkpoint.layers] if kept.checkpoint else []
        return sum(_blocks(path) for path in files) * _BLOCK_BYTES


def _lease(checkpoint_id: str) -> str:
    return f"checkpoint-{checkpoint_id}"


def _load(path: Path) -> Kept:
    try:
        checkpoint = read_manifest(read_own(path / MANIFEST))
    except (OSError, ValueError) as error:
        return Kept(path.name, path, None, str(error))
    except PathRefused as error:
        return Kept(path.name, path, None, error.cause)
    if checkpoint.id != path.name:
        return Kept(path.name, path, None, f"its manifest is that of {checkpoint.id}")
    return Kept(path.name, path, checkpoint)


def _made_at(kept: Kept) -> tuple[str, str]:
    return (kept.checkpoint.made_at if kept.checkpoint else "", kept.id)


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks
    except FileNotFoundError:
        return 0
