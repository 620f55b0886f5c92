"""Bundles outside the cache: a directory or one tar archive, read, checked, taken in and written."""

from __future__ import annotations

import enum
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from iecpod.cache.artifacts import Artifact, Cache, artifact_lease, find_damage, write_seen
from iecpod.cache.hashed_files import explain_os_error, place_file, place_open_file, sha256_of_file
from iecpod.errors import PreflightError, Problem, UsageError
from iecpod.files.trusted_paths import make_directory
from iecpod.files.writer import READABLE, commit_tree, new_directory, new_file, replace_file, try_new_file
from iecpod.images.bundle.opened_bundle import Member, OpenBundle, open_bundle
from iecpod.images.bundle.verification import ANY_BUNDLE, BundleTrust
from iecpod.release.bundle_manifest import (
    MANIFEST,
    SIGNATURE,
    BundledFile,
    BundleManifest,
    bundle_dir,
    damaged_file,
    not_a_bundle,
    parse_bundle_manifest,
)
from iecpod.release.release import ProvidedBundle

_CHUNK_BYTES = 1024 * 1024


class Fault(str, enum.Enum):
    DAMAGED = "damaged"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    REPEATED = "repeated"


_MESSAGES = {
    Fault.UNEXPECTED: ("the bundle's manifest does not name it",),
    Fault.REPEATED: ("it is in the archive more than once",),
}


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle as it was handed over.

    Its methods raise `UsageError` where there is none, and `PreflightError` where it is not what is demanded of it.
    """

    path: Path
    trust: BundleTrust = ANY_BUNDLE

    def manifest(self) -> BundleManifest:
        with self._opened() as (manifest, _):
            return manifest

    def signer(self) -> str | None:
        """Who has signed it, where that is demanded."""
        with open_bundle(self.path) as bundle:
            return self._checked(bundle)

    def verify(self) -> dict[str, Fault]:
        """Reads every file; what is not as the manifest says, by name."""
        with self._opened() as (manifest, bundle):
            return _find_faults(bundle.members, manifest.files, _digest)

    def take_in(self, cache: Cache) -> str:
        """Puts it into the cache under its digest, which is returned. Raises `PreflightError` where it is damaged.

        Files of a directory are linked where that is safe, and what its manifest does not name is left there. One that
        is in the cache and whole is not read again.
        """
        with self._opened() as (manifest, bundle):
            final = bundle_dir(cache.root, manifest.digest)
            cache.hold(artifact_lease(final.parent.name, manifest.digest))
            doing = f"taking in the bundle {self.path}"
            with explain_os_error(doing), cache.lock(f"bundle-{manifest.digest[:32]}"):
                if not _find_changes(final, manifest):
                    self._keep_signature(final, bundle.signature)
                    return manifest.digest
                cache.reporter.progress(doing)
                with cache.staging("bundle") as work:
                    stage = work / manifest.digest
                    stage.mkdir()
                    self._fill(stage, manifest, bundle)
                    make_directory(final.parent)
                    shutil.rmtree(final, ignore_errors=True)
                    commit_tree(stage, final)
            return manifest.digest

    @contextmanager
    def _opened(self) -> Iterator[tuple[BundleManifest, OpenBundle]]:
        with open_bundle(self.path) as bundle:
            self._checked(bundle)
            yield parse_bundle_manifest(bundle.manifest, str(self.path)), bundle

    def _checked(self, bundle: OpenBundle) -> str | None:
        """Before anything is made of the manifest's bytes."""
        if not bundle.manifest:
            raise not_a_bundle(str(self.path))
        return self.trust.check(bundle.manifest, bundle.signature, str(self.path))

    def _keep_signature(self, final: Path, signature: bytes | None) -> None:
        """With a bundle that is there: a later run may demand it. One that was not checked replaces none."""
        is_new = self.trust.signers is not None or not (final / SIGNATURE).exists()
        if signature is not None and is_new:
            replace_file(final / SIGNATURE, signature, READABLE)

    def _fill(self, stage: Path, manifest: BundleManifest, bundle: OpenBundle) -> None:
        def place(member: Member) -> str:
            _place(member, stage / member.name)
            return sha256_of_file(stage / member.name)  # of the file that is used from here on

        faults = _find_faults(bundle.members, manifest.files, place)
        if self.path.is_dir():
            faults = {name: fault for name, fault in faults.items() if fault is not Fault.UNEXPECTED}
        if faults:
            problems = [damaged_file(name, *_MESSAGES.get(fault, ())) for name, fault in faults.items()]
            raise PreflightError(problems, f"the bundle {self.path} is not whole")
        (stage / MANIFEST).write_bytes(bundle.manifest)
        if bundle.signature is not None:
            (stage / SIGNATURE).write_bytes(bundle.signature)
        write_seen(stage, manifest.files)


def check_taken_in(cache: Cache, provided: ProvidedBundle, trust: BundleTrust = ANY_BUNDLE) -> tuple[Problem, ...]:
    """What has changed of a bundle in the cache; files that were not touched are not read again.

    Raises `PreflightError` where it is not what is demanded of it.
    """
    cache.hold(artifact_lease(provided.path.parent.name, provided.digest))
    if trust != ANY_BUNDLE:
        with open_bundle(provided.path) as bundle:
            trust.check(bundle.manifest, bundle.signature, str(provided.path))
    return tuple(map(damaged_file, _find_changes(provided.path, provided.manifest)))


def check_copy(output: Path) -> None:
    """Raises `UsageError` or `OSError` where `write_copy` would, before a bundle is built for it."""
    if output.suffix != ".tar" and os.path.lexists(output):
        raise UsageError(f"{output} exists already", "name a directory that does not, or a file ending in .tar")
    with explain_os_error(f"writing {output}"):
        output.parent.mkdir(parents=True, exist_ok=True)
        try_new_file(output)


def write_copy(bundle: Path, output: Path) -> None:
    """A copy of a bundle of the cache as a directory, or with a name in `.tar` as one archive, named when complete.

    Others may write where it is put: no link of theirs is followed.
    """
    check_copy(output)
    files = [MANIFEST, *parse_bundle_manifest((bundle / MANIFEST).read_bytes(), str(bundle)).files]
    with explain_os_error(f"writing {output}"):
        if output.suffix == ".tar":
            with new_file(output, READABLE) as file:
                _write_archive(bundle, files, file)
            return
        with new_directory(output) as unfinished:
            for name in files:
                place_file(bundle / name, unfinished / name)


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


def _find_faults(
    members: Iterable[Member], files: Mapping[str, BundledFile], digest_of: Callable[[Member], str]
) -> dict[str, Fault]:
    """By name. Nothing is read of what has not the size that the manifest says, or is not named there."""
    seen = set[str]()
    faults = {}
    for member in members:
        entry = files.get(member.name)
        if entry is None:
            faults[member.name] = Fault.UNEXPECTED
        elif member.name in seen:
            faults[member.name] = Fault.REPEATED
        elif member.content is None or member.size_bytes != entry.size_bytes or digest_of(member) != entry.sha256:
            faults[member.name] = Fault.DAMAGED
        seen.add(member.name)
    return dict(sorted({**faults, **dict.fromkeys(files.keys() - seen, Fault.MISSING)}.items()))


def _find_changes(path: Path, manifest: BundleManifest) -> tuple[str, ...]:
    """Of a bundle in the cache, names of files that are not what the manifest says, or not of it."""
    try:
        with open_bundle(path) as bundle:
            if hashlib.sha256(bundle.manifest).hexdigest() != manifest.digest:
                return (MANIFEST,)
            lying = {member.name: member.content is not None for member in bundle.members if "/" in member.name}
    except UsageError:
        return (MANIFEST,)
    foreign = {name for name, is_plain in lying.items() if not is_plain or name not in manifest.files}
    entries = {name: asdict(entry) for name, entry in manifest.files.items()}
    return tuple(sorted(foreign.union(find_damage(Artifact(path, manifest.digest, entries, {})))))


def _digest(member: Member) -> str:
    """Of no more than its size: a file may grow meanwhile."""
    digest = hashlib.sha256()
    for chunk in _chunks(member):
        digest.update(chunk)
    return digest.hexdigest()


def _place(member: Member, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if member.has_own_file and member.content is not None:
        place_open_file(member.content.fileno(), target)
        return
    with target.open("xb") as file:
        file.writelines(_chunks(member))
    target.chmod(0o644)


def _chunks(member: Member) -> Iterator[bytes]:
    assert member.content is not None, "what is no plain file is not read"
    left = member.size_bytes
    while left and (chunk := member.content.read(min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
