"""The lab of the connected PODs, on disk: descriptors and releases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
LAB = "connected"
#: PODs and how many machines of local/virtual1 they have.
_PODS = {"virtual1": 2, "virtual2": 1}


def write_lab(directory: Path, helm: Mapping[str, Any] | None) -> None:
    """A base for `-b`, and `RUNTIME.yaml` for each container runtime, as files for `--release`; docker's has Helm."""
    labs = directory / "labs" / LAB
    labs.mkdir(parents=True)
    for pod, machines in _PODS.items():
        pdf, idf = (_load(ROOT / f"pdf/labs/local/{name}.yaml") for name in ("virtual1", "idf-virtual1"))
        pdf["nodes"] = pdf["nodes"][:machines]
        nodes = idf["idf"]["fuel"]["network"]["node"]
        idf["idf"]["fuel"]["network"]["node"] = nodes[:machines]
        (labs / f"{pod}.yaml").write_text(yaml.safe_dump(pdf))
        (labs / f"idf-{pod}.yaml").write_text(yaml.safe_dump(idf))
    release = _load(Path(__file__).with_name("release.yaml"))
    release["image"] = _load(ROOT / "iecpod/releases/debian12.yaml")["image"]
    extras: dict[str, dict[str, Any]] = {"docker": {"helm": helm} if helm else {}, "containerd": {}}
    for runtime, package in (("docker", "docker.io"), ("containerd", "containerd")):
        packages = [package, *release["packages"][1:]]
        variant = {**release, "runtime": runtime, "packages": packages, **extras[runtime]}
        (directory / f"{runtime}.yaml").write_text(yaml.safe_dump(variant, sort_keys=False))


def packages_of(directory: Path) -> tuple[str, ...]:
    """What Debian itself has of the packages that nodes install."""
    named = {name for path in directory.glob("*.yaml") for name in _load(path)["packages"]}
    own = ("kubeadm", "kubelet", "kubectl", "cri-tools")
    return tuple(sorted(name for name in named if name.partition("=")[0] not in own))


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())
