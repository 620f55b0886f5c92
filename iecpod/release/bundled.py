"""The release that a bundle is of, with the bundle in the place of all its sources."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from iecpod.errors import UsageError
from iecpod.release.bundle_manifest import BundleManifest
from iecpod.release.file import check_release_text, parse_release
from iecpod.release.image_reference import without_digest
from iecpod.release.release import ImageSourceType, Manifest, ProvidedBundle, Release


def load_bundled_release(manifest: BundleManifest, path: Path, schemas_dir: Path) -> Release:
    """The release of the bundle at `path`.

    Raises `DescriptorError` where its data are not valid, `UsageError` where the base image is not of its kind.
    """
    text = json.dumps(manifest.release).encode()
    release = parse_release(check_release_text(text, f"{path}: release", schemas_dir))
    if (release.image.type is ImageSourceType.MMDEBSTRAP) == bool(manifest.base.format):
        raise UsageError(f"{path}: its base image is not of the kind that its release says", "build the bundle again")

    def provided(cni_manifest: Manifest) -> Manifest:
        """One that the bundle lacks is not fetched either."""
        file = manifest_file(cni_manifest)
        if file in manifest.files:
            return replace(cni_manifest, file=str(path / file))
        return replace(cni_manifest, sha256="")

    return replace(
        release.with_manifests(provided),
        # By these names its archives are loaded; what they hold is verified with the bundle.
        pause_image=without_digest(release.pause_image),
        nginx_image=without_digest(release.nginx_image),
        kube_router_image=without_digest(release.kube_router_image),
        repositories=(),
        provided=ProvidedBundle(path=path, manifest=manifest),
    )


def manifest_file(manifest: Manifest) -> str:
    """Where a manifest of Kubernetes objects is in a bundle."""
    return f"manifests/{manifest.name}.yaml"
