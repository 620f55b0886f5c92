"""What was made once and is kept: directories under the digest of their recipe, each file with its own digest."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from iecpod.cache.hashed_files import (
    Fingerprint,
    explain_os_error,
    plain_status,
    read_json,
    recipe_key,
    sha256_of_file,
    write_json,
)
from iecpod.cache.lease import hold
from iecpod.cache.work_directory import staging
from iecpod.files.trusted_paths import check_directory, is_ours, make_directory
from iecpod.files.writer import commit_tree
from iecpod.locks import Notify, locked
from iecpod.ports import Reporter

MANIFEST = "manifest.json"
#: What was seen of files when they were last hashed: of this cache, and not of the artifact.
SEEN = ".seen.json"
#: Compiling takes minutes, hours under emulation; whoever takes longer hangs.
MAKING_SECONDS = 4 * 3600.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished directory. `files` maps each relative path to its size and digest."""

    path: Path
    key: str
    files: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache directory: `<kind>/<key>` artifacts, `locks`, `logs` and `work` (which is swept)."""

    root: Path
    reporter: Reporter

    def ensure(
        self, kind: str, recipe: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]], doing: str
    ) -> Artifact:
        """The artifact of that recipe; `make` fills an empty directory when it is not there or is damaged.

        What `make` returns is kept as the artifact's `facts`. Two runs that want the same make it once.
        """
        return self.ensure_at(self.place(kind, recipe), recipe, make, doing)

    def ensure_at(
        self, final: Path, recipe: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]], doing: str
    ) -> Artifact:
        """As `ensure`, for what has a name of its own: `final` is `root / KIND / KEY`."""
        kind, key = final.parent.name, final.name
        self.hold(artifact_lease(kind, key))

        def find() -> Artifact | None:
            artifact = load_artifact(final, key)
            return artifact if artifact is not None and not find_damage(artifact) else None

        def add(stage: Path) -> Artifact:
            content = stage / key
            content.mkdir()
            facts = make(content)
            write_manifest(content, recipe, facts)
            make_directory(final.parent)
            commit_tree(content, final)
            made = load_artifact(final, key)
            assert made is not None, "a manifest that was just written is readable"
            return made

        return self.find_or_add(kind, key, doing, find=find, clear=lambda: self.set_aside(final), add=add)

    def find_or_add(
        self,
        kind: str,
        key: str,
        doing: str,
        *,
        find: Callable[[], _T | None],
        clear: Callable[[], None],
        add: Callable[[Path], _T],
    ) -> _T:
        """What `find` finds, else what `add` makes in a work directory after `clear`: by one process at a time."""
        found = find()
        if found is not None:
            return found
        with explain_os_error(doing), self.lock(f"{kind}-{key}"):
            found = find()
            if found is not None:
                return found
            clear()
            self.reporter.progress(doing)
            with self.staging(kind) as stage:
                return add(stage)

    def place(self, kind: str, recipe: Mapping[str, Any]) -> Path:
        """The place of the artifact of that recipe once it exists; its name is the key."""
        return self.root / kind / recipe_key({"kind": kind, **recipe})[:32]

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One maker at a time, across processes; says for whom when it has to wait."""
        directory = self.root / "locks"
        make_directory(directory)

        with locked(directory / f"{name}.lock", seconds=MAKING_SECONDS, notify=self._described(f"makes {name}")):
            yield

    def hold(self, lease: str) -> None:
        """As `lease.hold`."""
        hold(self.root, lease, self._described(f"removes {lease}"))

    def staging(self, label: str) -> AbstractContextManager[Path]:
        """As `work.staging`."""
        return staging(self.root, label, self._described(f"holds the lock of {self.root / 'work'}"))

    def _described(self, does: str) -> Notify:
        def notify(holder: str) -> None:
            # Without a holder, it may be another thread of this run.
            whom = f"another run that {does}: {holder}" if holder else f"the run that {does}"
            self.reporter.progress(f"waiting for {whom}")

        return notify

    def log_path(self, label: str) -> Path:
        """A new, empty log; the last one of the same label is replaced."""
        path = self.root / "logs" / f"{label}.log"
        make_directory(path.parent)
        path.unlink(missing_ok=True)
        return path

    def set_aside(self, final: Path) -> None:
        """Renames what is damaged: processes that have it open keep it."""
        if not os.path.lexists(final):
            return
        corrupt = final.with_name(final.name + ".corrupt")
        shutil.rmtree(corrupt, ignore_errors=True)
        final.replace(corrupt)
        self.reporter.warn(f"{final} does not match its digest: it was set aside as {corrupt.name} and is made again")


def artifact_lease(kind: str, key: str) -> str:
    """The name by which `lease` knows an artifact."""
    return f"{kind}-{key}"


def write_manifest(directory: Path, recipe: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    files = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = str(path.relative_to(directory))
            files[name] = {"sha256": sha256_of_file(path), "size_bytes": path.stat().st_size}
    write_json(directory / MANIFEST, {"recipe": recipe, "facts": facts, "files": files})
    write_seen(directory, files)


def write_seen(directory: Path, names: Iterable[str]) -> None:
    """For files that were hashed just now."""
    write_json(directory / SEEN, {name: Fingerprint.of(directory / name).as_list() for name in names})


def load_artifact(directory: Path, key: str) -> Artifact | None:
    """None where there is no readable manifest. Raises `PathRefused` where others may change it."""
    manifest = read_json(directory / MANIFEST)
    if not isinstance(manifest, dict) or not {"recipe", "facts", "files"} <= manifest.keys():
        return None
    return Artifact(directory, key, manifest["files"], manifest["facts"])


def find_damage(artifact: Artifact, *, thorough: bool = False) -> tuple[str, ...]:
    """Names of files that are not what the manifest says.

    A file that has not changed since it was last hashed is not hashed again, unless `thorough` or others may change it:
    libvirt gives disks to the user that QEMU runs as. Raises `PathRefused` for directories that others may change.
    """
    check_directory(artifact.path, levels=1)
    seen = read_json(artifact.path / SEEN)
    known: dict[str, Any] = seen if isinstance(seen, dict) and not thorough else {}
    damaged = []
    fresh = dict(known)
    for name, entry in artifact.files.items():
        path = artifact.path / name
        status = plain_status(path)
        if status is None or status.st_size != entry["size_bytes"]:
            damaged.append(name)
            continue
        fingerprint = Fingerprint.from_status(status).as_list()
        if known.get(name) != fingerprint or not is_ours(status):
            if sha256_of_file(path) != entry["sha256"]:
                damaged.append(name)
            else:
                fresh[name] = fingerprint
    if fresh != known and not damaged:
        with contextlib.suppress(OSError):  # a cache that can only be read is still a cache
            write_json(artifact.path / SEEN, fresh)
    return tuple(damaged)
