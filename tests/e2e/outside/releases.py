"""The releases of a connected lab, on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.small_lab import ROOT, load_yaml


def write_releases(directory: Path) -> None:
    """`RUNTIME.yaml` for each container runtime, as files for `--release`."""
    release = load_yaml(Path(__file__).with_name("release.yaml"))
    release["image"] = load_yaml(ROOT / "iecpod/releases/debian12.yaml")["image"]
    for runtime, package in (("docker", "docker.io"), ("containerd", "containerd")):
        packages = [package, *release["packages"][1:]]
        variant = {**release, "runtime": runtime, "packages": packages}
        (directory / f"{runtime}.yaml").write_text(yaml.safe_dump(variant, sort_keys=False))


def add_helm(directory: Path, runtime: str, helm: Mapping[str, Any]) -> None:
    path = directory / f"{runtime}.yaml"
    path.write_text(yaml.safe_dump({**load_yaml(path), "helm": helm}, sort_keys=False))


def packages_of(directory: Path) -> tuple[str, ...]:
    """What Debian itself has of the packages that nodes install."""
    named = {name for path in directory.glob("*.yaml") for name in load_yaml(path)["packages"]}
    own = ("kubeadm", "kubelet", "kubectl", "cri-tools")
    return tuple(sorted(name for name in named if name.partition("=")[0] not in own))
