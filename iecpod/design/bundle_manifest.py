"""What a bundle says of itself: `manifest.json`, which holds the digests of all its files and the release as data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iecpod.design.image_reference import without_digest
from iecpod.design.release import Manifest, ProvidedBundle, Release
from iecpod.design.release_file import check_release_text, parse_release
from iecpod.errors import UsageError
from iecpod.model import Arch

MANIFEST = "manifest.json"

#: A change of what lies where in a bundle.
BUNDLE_VERSION = 1

#: Nothing lies deeper, and nothing lies elsewhere.
_FILE = re.compile(r"(base|bin|debs|helm|images|manifests)/[A-Za-z0-9_][^/\x00-\x1f]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BundledFile:
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BundledImage:
    """`file` holds it; `digest` is that of its manifest in its registry, empty where it is from none."""

    reference: str
    file: str
    image_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class BundledBase:
    """The base image: a disk of that `format`, or with an empty one the tar of a tree that a disk is made of."""

    file: str
    format: str
    virtual_size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """`digest` (hex) is that of the manifest itself; `release` is the release's data, with its variant chosen."""

    digest: str
    release: Mapping[str, Any]
    arch: Arch
    base: BundledBase
    images: tuple[BundledImage, ...]
    files: Mapping[str, BundledFile]

    @property
    def references(self) -> tuple[str, ...]:
        return tuple(image.reference for image in self.images)


def bundle_dir(cache_dir: Path, digest: str) -> Path:
    """Where a bundle is that was taken in."""
    return cache_dir / "bundles" / digest


def read_bundle_manifest(path: Path) -> BundleManifest:
    """Of the bundle in that directory. Raises `UsageError`."""
    try:
        return parse_bundle_manifest((path / MANIFEST).read_bytes(), str(path))
    except OSError as error:
        raise UsageError(
            f"the bundle is not in the cache any more: {path}: {error.strerror}", "give it again with --bundle"
        ) from error


def parse_bundle_manifest(content: bytes, origin: str) -> BundleManifest:
    """Raises `UsageError` where this is no manifest of a bundle, or one of another version."""
    not_one = UsageError(f"{origin} is not a bundle", "give what `iecpod bundle build` has made")
    try:
        data = json.loads(content)
        facts, files = data["facts"], data["files"]
        version = facts["bundle_version"]
    except (ValueError, KeyError, TypeError):
        raise not_one from None
    if version != BUNDLE_VERSION:
        raise UsageError(
            f"{origin} is a bundle of version {version}, and this iecpod reads version {BUNDLE_VERSION}",
            "build it with this version of iecpod",
        )
    try:
        manifest = BundleManifest(
            digest=hashlib.sha256(content).hexdigest(),
            release=dict(facts["release"]),
            arch=Arch(facts["arch"]),
            base=BundledBase(**facts["base"]),
            images=tuple(BundledImage(**image) for image in facts["images"]),
            files={name: BundledFile(**entry) for name, entry in files.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise not_one from None
    if not _is_sound(manifest):
        raise not_one
    return manifest


def load_bundled_release(manifest: BundleManifest, path: Path, schemas_dir: Path) -> Release:
    """The bundle's release, with the bundle at `path` in the place of all its sources.

    Raises `DescriptorError` where its data are not valid.
    """
    text = json.dumps(manifest.release).encode()
    release = parse_release(check_release_text(text, f"{path}: release", schemas_dir))

    def provided(cni_manifest: Manifest) -> Manifest:
        file = manifest_file(cni_manifest)
        return replace(cni_manifest, file=str(path / file)) if file in manifest.files else cni_manifest

    return replace(
        release.with_manifests(provided),
        # By these names its archives are loaded; what they hold is verified with the bundle.
        pause_image=without_digest(release.pause_image),
        nginx_image=without_digest(release.nginx_image),
        kube_router_image=without_digest(release.kube_router_image),
        repositories=(),
        provided=ProvidedBundle(path=path, digest=manifest.digest, arch=manifest.arch),
    )


def manifest_file(manifest: Manifest) -> str:
    """Where a manifest of Kubernetes objects lies in a bundle."""
    return f"manifests/{manifest.name}.yaml"


def _is_sound(manifest: BundleManifest) -> bool:
    """Names stay inside the bundle, and what is referred to is there."""
    wanted = {manifest.base.file, *(image.file for image in manifest.images)}
    return wanted <= manifest.files.keys() and all(
        _FILE.fullmatch(name) and isinstance(entry.size_bytes, int) and _SHA256.fullmatch(str(entry.sha256))
        for name, entry in manifest.files.items()
    )
