"""Bundles outside the cache: a directory or one tar archive, read, checked, taken in and written."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from iecpod.design.bundle_manifest import MANIFEST, BundleManifest, bundle_dir, parse_bundle_manifest
from iecpod.errors import PreflightError, Problem, UsageError
from iecpod.file_writer import READABLE, commit_tree, new_file
from iecpod.images.cache import SEEN, Artifact, Cache, artifact_lease, find_damage, load_artifact
from iecpod.images.files import explain_os_error, place_file

_CHUNK_BYTES = 1024 * 1024


class Fault(str, enum.Enum):
    DAMAGED = "damaged"
    MISSING = "missing"
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle as it was handed over. Its methods raise `UsageError` where there is none."""

    path: Path

    def manifest(self) -> BundleManifest:
        return parse_bundle_manifest(self.manifest_bytes(), str(self.path))

    def manifest_bytes(self) -> bytes:
        try:
            if self.path.is_dir():
                return (self.path / MANIFEST).read_bytes()
            with tarfile.open(self.path, "r:") as tar:
                # It stands first; looking it up by name would read all headers, to the end of an archive cut off.
                file = next((tar.extractfile(entry) for entry in tar if entry.name == MANIFEST), None)
                return file.read() if file else b""
        except tarfile.TarError:
            return b""  # which is the manifest of no bundle
        except FileNotFoundError:
            if self.path.is_dir():
                return b""
            raise UsageError(f"there is no bundle {self.path}", "give what `iecpod bundle build` has made") from None
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}", "give a bundle that can be read") from error

    def verify(self) -> dict[str, Fault]:
        """Reads every file; what is not as the manifest says, by name."""
        wanted = dict(self.manifest().files)
        faults = {}
        for name, content in self._files():
            entry = wanted.pop(name, None)
            if entry is None:
                faults[name] = Fault.UNEXPECTED
            elif _digest(content) != (entry.size_bytes, entry.sha256):
                faults[name] = Fault.DAMAGED
        return dict(sorted((faults | dict.fromkeys(wanted, Fault.MISSING)).items()))

    def take_in(self, cache: Cache) -> str:
        """Puts it into the cache under its digest, which is returned. Raises `PreflightError` where it is damaged.

        Files of a directory are linked where that is safe. One that is in the cache and whole is not read again.
        """
        manifest = self.manifest()
        final = bundle_dir(cache.root, manifest.digest)
        cache.hold(artifact_lease(final.parent.name, manifest.digest))
        doing = f"taking in the bundle {self.path}"
        with explain_os_error(doing), cache.lock(f"bundle-{manifest.digest[:32]}"):
            if not _faults_of(load_artifact(final, manifest.digest)):
                return manifest.digest
            cache.reporter.progress(doing)
            with cache.staging("bundle") as work:
                stage = work / manifest.digest
                stage.mkdir()
                self._place_files(manifest, stage)
                (stage / MANIFEST).write_bytes(self.manifest_bytes())
                faults = _faults_of(load_artifact(stage, manifest.digest), thorough=True)
                if faults:
                    raise PreflightError(
                        [damaged_file(name) for name in faults], f"the bundle {self.path} is not whole"
                    )
                final.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(final, ignore_errors=True)
                commit_tree(stage, final)
        return manifest.digest

    def _place_files(self, manifest: BundleManifest, stage: Path) -> None:
        """Those that the manifest names; what is missing is found afterwards, with what is damaged."""
        if self.path.is_dir():
            for name in manifest.files:
                if _is_plain_file(self.path / name):
                    place_file(self.path / name, stage / name)
            return
        for name, content in self._files():
            if name in manifest.files:
                target = stage / name
                target.parent.mkdir(exist_ok=True)
                with target.open("wb") as file, contextlib.suppress(tarfile.ReadError):
                    shutil.copyfileobj(content, file, _CHUNK_BYTES)

    def _files(self) -> Iterator[tuple[str, IO[bytes]]]:
        """All but the manifest; an archive that is cut off ends early."""
        if not self.path.is_dir():
            yield from _files_of_archive(self.path)
            return
        for path in sorted(self.path.rglob("*")):
            name = str(path.relative_to(self.path))
            if not path.is_dir() and name not in (MANIFEST, SEEN):
                with _open(path) as content:
                    yield name, content


def damaged_file(name: str) -> Problem:
    return Problem(
        path=name,
        message="it is missing, or is not what the bundle's manifest says",
        remedy="copy the bundle anew and run `iecpod bundle verify`; if it stays so, build it anew",
        rule="bundle-damaged",
    )


def check_taken_in(cache: Cache, digest: str) -> tuple[Problem, ...]:
    """What has changed of a bundle in the cache; files that were not touched are not read again."""
    path = bundle_dir(cache.root, digest)
    cache.hold(artifact_lease(path.parent.name, digest))
    return tuple(map(damaged_file, _faults_of(load_artifact(path, digest))))


def write_copy(bundle: Path, output: Path) -> None:
    """A copy of a bundle of the cache as a directory, or with a name in `.tar` as one archive, named when complete."""
    if output.suffix != ".tar" and output.exists():
        raise UsageError(f"{output} exists already", "name a directory that does not, or a file ending in .tar")
    files = [MANIFEST, *parse_bundle_manifest((bundle / MANIFEST).read_bytes(), str(bundle)).files]
    with explain_os_error(f"writing {output}"):
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".tar":
            with new_file(output, READABLE) as file:
                _write_archive(bundle, files, file)
            return
        with _beside(output) as unfinished:
            unfinished.mkdir()
            for name in files:
                place_file(bundle / name, unfinished / name)
            commit_tree(unfinished, output)


def _write_archive(bundle: Path, files: list[str], file: BinaryIO) -> None:
    """The manifest first; the same bytes for the same bundle."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in files:
            entry = tarfile.TarInfo(name)
            status = (bundle / name).stat()
            entry.size = status.st_size
            entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
            with (bundle / name).open("rb") as content:
                tar.addfile(entry, content)


@contextmanager
def _beside(output: Path) -> Iterator[Path]:
    """A name in a directory of our own beside the final one, gone afterwards whatever happens."""
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as directory:
        yield Path(directory) / output.name


def _files_of_archive(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path, "r:") as tar:
        try:
            for entry in tar:
                if entry.name != MANIFEST and not entry.isdir():
                    yield entry.name, (tar.extractfile(entry) if entry.isreg() else None) or io.BytesIO()
        except tarfile.ReadError:
            return


def _digest(content: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    try:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    except tarfile.ReadError:  # the archive ends here
        pass
    return size, digest.hexdigest()


def _open(path: Path) -> IO[bytes]:
    """What a link leads to is not the bundle's."""
    return path.open("rb") if _is_plain_file(path) else io.BytesIO()


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _faults_of(artifact: Artifact | None, *, thorough: bool = False) -> tuple[str, ...]:
    return (MANIFEST,) if artifact is None else find_damage(artifact, thorough=thorough)
