"""What a cache holds, and the removal of it. Who removes something holds its lease alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iecpod.cache.artifacts import MANIFEST, artifact_lease
from iecpod.cache.base_images import image_lease
from iecpod.cache.hashed_files import read_json
from iecpod.cache.lease import last_use
from iecpod.cache.work_directory import staging
from iecpod.errors import PathRefused

IMAGES = "images"
_SET_ASIDE = ".corrupt"
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheItem:
    """An image, or a directory of what images are made of; `kind` is the directory of the cache that it is in.

    `name` is the digest of an image, and the key of all else; `keys` are those of an image. Times are Unix times,
    `size_bytes` is what it takes on the disk.
    """

    kind: str
    name: str
    path: Path
    lease: str
    what: str
    size_bytes: int
    made_at: float
    used_at: float
    keys: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_image(self) -> bool:
        return self.kind == IMAGES


def find_items(cache_dir: Path) -> list[CacheItem]:
    """Images first, then the rest by kind; each by when it was used last, the latest first."""
    items = [*_find_images(cache_dir), *_find_artifacts(cache_dir)]
    return sorted(items, key=lambda item: (not item.is_image, item.kind, -item.used_at, item.name))


def remove_item(cache_dir: Path, item: CacheItem) -> None:
    """For who holds its lease alone. Raises `OSError`; what an error or a signal leaves is not taken as complete."""
    if not item.is_image:
        with staging(cache_dir, "removed") as stage:
            item.path.rename(stage / item.path.name)
        return
    item.path.unlink(missing_ok=True)
    for entry in _entry_paths(cache_dir):
        if _digest_of(_read(entry)) == item.name:
            entry.unlink(missing_ok=True)


def _find_images(cache_dir: Path) -> Iterator[CacheItem]:
    entries = {path.stem: _read(path) for path in _entry_paths(cache_dir)}
    for path in _list(cache_dir / IMAGES):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.name if _is_set_aside(path) else path.name.partition(".")[0]
        keys = tuple(key for key, entry in entries.items() if _digest_of(entry) == name)
        facts = next((facts for key in keys if (facts := _facts_of(entries[key]))), {})
        what = _describe_image(facts) if keys else _without_entry(path)
        lease = image_lease(name)
        with suppress(FileNotFoundError):  # it went while we looked
            yield _item(
                cache_dir, path, kind=IMAGES, name=name, path=path, lease=lease, what=what, keys=keys, facts=facts
            )


def _find_artifacts(cache_dir: Path) -> Iterator[CacheItem]:
    """Whatever kinds there are: a kind is a directory in which something has a manifest."""
    for kind in _list(cache_dir):
        if kind.name == IMAGES or not kind.is_dir() or not any(kind.glob(f"*/{MANIFEST}")):
            continue
        for path in _list(kind):
            manifest = path / MANIFEST
            dated = manifest if manifest.is_file() else path
            is_whole = dated is manifest and not _is_set_aside(path)
            what = _describe_recipe(_read(manifest)) if is_whole else _without_entry(path)
            lease = artifact_lease(kind.name, path.name)
            with suppress(FileNotFoundError):
                yield _item(cache_dir, dated, kind=kind.name, name=path.name, path=path, lease=lease, what=what)


def _item(cache_dir: Path, dated: Path, **known: Any) -> CacheItem:
    """`dated` is written when the item is made, and not afterwards."""
    made_at = dated.stat().st_mtime
    used_at = max(made_at, last_use(cache_dir, known["lease"]) or 0.0)
    return CacheItem(**known, size_bytes=_size_bytes(known["path"]), made_at=made_at, used_at=used_at)


def _list(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _read(path: Path) -> Any:
    """None also where others may change the file: what it says is not believed, and the thing is listed anyway."""
    try:
        return read_json(path)
    except PathRefused:
        return None


def _entry_paths(cache_dir: Path) -> list[Path]:
    return sorted((cache_dir / IMAGES / "index").glob("*.json"))


def _digest_of(entry: Any) -> str:
    return str(entry.get("sha256", "")) if isinstance(entry, dict) else ""


def _facts_of(entry: Any) -> Mapping[str, str]:
    facts = entry.get("facts")
    return facts if isinstance(facts, dict) else {}


def _is_set_aside(path: Path) -> bool:
    return path.name.endswith(_SET_ASIDE)


def _without_entry(path: Path) -> str:
    return "damaged, and set aside" if _is_set_aside(path) else "left by a run that was killed"


def _describe_image(facts: Mapping[str, str]) -> str:
    if not facts:
        return "made by an earlier version"
    kubernetes = f" with Kubernetes {facts['kubernetes']}" if "kubernetes" in facts else ""
    return f"{facts.get('release', '?')} for {facts.get('arch', '?')}, {facts.get('origin', 'made')}{kubernetes}"


def _describe_recipe(manifest: Any) -> str:
    """Of recipe and facts that which people know things by: versions, suites, architectures and addresses."""
    recipe, facts = (manifest.get(part) if isinstance(manifest, dict) else None for part in ("recipe", "facts"))
    if not isinstance(recipe, dict) or not isinstance(facts, dict):
        return "unknown"
    inner = recipe.get("kubernetes")
    if isinstance(inner, dict):
        recipe = {**inner, **recipe, "kubernetes": inner.get("kubernetes")}
    release = recipe.get("release")
    words = [str(release.get("name"))] if isinstance(release, dict) else []
    words += [f"Kubernetes {recipe['kubernetes']}"] if recipe.get("kubernetes") else []
    words += [str(recipe[name]) for name in ("suite", "arch", "url") if isinstance(recipe.get(name), str)]
    if "suite" in recipe and isinstance(recipe.get("packages"), list):
        words.append(f"{len(recipe['packages'])} packages and what they need")
    images = facts.get("images")
    if isinstance(images, list) and not words:
        words += [str(image["reference"]) for image in images if isinstance(image, dict) and "reference" in image]
    if isinstance(facts.get("release"), str):
        words.append(_describe_image(facts))
    return ", ".join(words) or "unknown"


def _size_bytes(path: Path) -> int:
    """As the file system counts: disks are sparse. What goes while this counts takes no room."""
    found = [path, *(Path(top) / name for top, _, names in os.walk(path) for name in names)]
    total = 0
    for file in found:
        try:
            status = file.lstat()
        except FileNotFoundError:
            continue
        total += status.st_blocks * _BLOCK_BYTES if stat.S_ISREG(status.st_mode) else 0
    return total
