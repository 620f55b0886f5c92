"""`iecpod bundle`: what is to be built, what one holds, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iecpod.errors import ImageError, PreflightError, UsageError
from iecpod.files.writer import READABLE, replace_file
from iecpod.images.bundle.opened_bundle import open_bundle, signature_path
from iecpod.images.bundle.ssh_signature import sign
from iecpod.images.bundle.transfer import StoredBundle
from iecpod.images.bundle.verification import BundleTrust
from iecpod.model import Arch
from iecpod.release.bundle_manifest import BundleManifest, parse_bundle_manifest
from iecpod.release.mirrors import Supply
from iecpod.reports.table import format_table

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BundleOrder:
    """`release` is a name or the path of a file; `output` None leaves the bundle in the cache alone."""

    release: str
    base_os: str | None
    arch: Arch
    supply: Supply
    output: Path | None
    image_archives: tuple[Path, ...] = ()


def verify_bundle(path: Path, trust: BundleTrust) -> tuple[str | None, tuple[str, ...]]:
    """Who has signed it, where that is demanded, and a line for each file that is not as it should be.

    Raises `UsageError` where there is no bundle, `ImageError` where it is not the one that is demanded.
    """
    stored = StoredBundle(path, trust)
    try:
        signer, faults = stored.signer(), stored.verify()
    except PreflightError as error:
        raise ImageError(f"{error.cause}: {error.problems[0].message}", error.problems[0].remedy) from error
    return signer, tuple(f"{fault.value} {name}" for name, fault in faults.items())


def sign_bundle(path: Path, key: Path, *, may_ask: bool) -> Path:
    """Writes the signature beside the bundle's manifest, or beside an archive; returns where it is.

    Raises `UsageError` where there is no bundle or no key, `ImageError` where the key does not sign.
    """
    with open_bundle(path) as bundle:
        parse_bundle_manifest(bundle.manifest, str(path))
        signature = sign(bundle.manifest, key, may_ask=may_ask)
    target = signature_path(path)
    try:
        replace_file(target, signature, READABLE)
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}", "sign where the bundle can be written to") from error
    return target


def bundle_json(path: Path) -> str:
    manifest = StoredBundle(path).manifest()
    facts = {
        **_facts(manifest),
        "packages": [{"name": name, "version": version} for name, version, _ in _packages(manifest)],
        "images": [
            {"reference": image.reference, "digest": image.digest, "id": image.image_id, "file": image.file}
            for image in manifest.images
        ],
        "files": {name: asdict(file) for name, file in manifest.files.items()},
    }
    return json.dumps(facts, indent=2)


def bundle_text(path: Path) -> str:
    manifest = StoredBundle(path).manifest()
    facts = _facts(manifest)
    size = facts.pop("size_bytes")
    rows = [*((key.replace("_", " "), str(value)) for key, value in facts.items()), ("size", _mib(size))]
    sizes = {name: file.size_bytes for name, file in manifest.files.items()}
    images = [
        (image.reference, image.digest or f"of no registry, id sha256:{image.image_id}", _mib(sizes[image.file]))
        for image in manifest.images
    ]
    sections = [
        ("Bundle", format_table(("", ""), rows).lstrip("\n")),
        ("Images", format_table(("IMAGE", "DIGEST", "SIZE OF ITS FILE"), images)),
        ("Packages", format_table(("PACKAGE", "VERSION", "SIZE"), list(_packages(manifest)))),
    ]
    return "\n\n".join(f"{title}\n{table}" for title, table in sections)


def _facts(manifest: BundleManifest) -> dict[str, Any]:
    """The release is not checked here: a bundle that this version cannot deploy can be shown."""
    release, helm = manifest.release, manifest.release.get("helm")
    return {
        "release": _text(release, "name"),
        "base_os": _text(release, "base_os"),
        "arch": manifest.arch.value,
        "kubernetes": _text(release, "kubernetes_version"),
        "runtime": _text(release, "runtime"),
        "helm": _text(helm, "version") if isinstance(helm, dict) else "",
        "base_image": manifest.base.file,
        "digest": f"sha256:{manifest.digest}",
        "size_bytes": sum(file.size_bytes for file in manifest.files.values()),
    }


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    return value if isinstance(value, str) else ""


def _packages(manifest: BundleManifest) -> Iterator[tuple[str, str, str]]:
    """By their files, which are named NAME_VERSION_ARCH.deb."""
    for file, entry in sorted(manifest.files.items()):
        name, version, *_ = [*file.rpartition("/")[2].removesuffix(".deb").split("_"), ""]
        if file.startswith("debs/") and file.endswith(".deb"):
            yield name, version.replace("%3a", ":"), _mib(entry.size_bytes)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.1f} MiB"
