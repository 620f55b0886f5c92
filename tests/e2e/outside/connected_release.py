"""The shipped release of connected labs, for servers that have other bytes than upstream's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tests.e2e.outside.debs import PACKAGES
from tests.e2e.small_lab import ROOT, load_yaml

NAME = "k8s-1.37"
SHIPPED = ROOT / f"iecpod/releases/{NAME}.yaml"
#: The value of each of them holds a digest.
IMAGES = ("pause_image", "nginx_image")


def write_release(path: Path, digests: Mapping[str, str], helm: Mapping[str, Any]) -> None:
    """The file as it is shipped, but for `digests` of its images (by key) and Helm's archive.

    Nobody can serve other content under upstream's digests.
    """
    text, shipped = SHIPPED.read_text(), load_yaml(SHIPPED)
    changes = {shipped[key]: f"{shipped[key].partition('@')[0]}@{digest}" for key, digest in digests.items()}
    for part in ("location", "sha256"):
        changes[shipped["helm"][part]["x86_64"]] = helm[part]
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


def image_names(kubernetes: Path) -> tuple[str, ...]:
    """All images of its clusters but those of a pod network: what kubeadm lists, and what the release names."""
    shipped = load_yaml(SHIPPED)
    version = f"v{shipped['kubernetes_version']}"
    argv = ["kubeadm", "config", "images", "list", "--kubernetes-version", version]
    listed = subprocess.run(argv, executable=kubernetes, capture_output=True, text=True, check=True).stdout.split()
    return tuple(dict.fromkeys([*listed, *(shipped[key].partition("@")[0] for key in IMAGES)]))


def find_compiled_image(name: str, compiled: Iterable[str]) -> str:
    """Of the images that were compiled, the one that stands in for upstream's of that name."""
    (found,) = (reference for reference in compiled if _program(reference) == _program(name))
    return found


def distribution_packages() -> tuple[str, ...]:
    """What nodes install of the distribution's own archive."""
    own = {package.name for packages in PACKAGES.values() for package in packages}
    return tuple(name for name in load_yaml(SHIPPED)["packages"] if name.partition("=")[0] not in own)


def _program(reference: str) -> str:
    return PurePosixPath(reference).name.partition(":")[0]
