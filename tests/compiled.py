"""Programs as deploys of debian12 and k8s-1.37-go have compiled them, in the cache of a machine that did."""

from __future__ import annotations

import json
import os
from pathlib import Path

from iecpod.model import Arch

CACHE = Path(os.environ.get("IECPOD_CACHE_DIR", "/var/cache/iecpod"))


def find_compiled(program: str) -> Path | None:
    """Of Kubernetes 1.20.2, which `tox -e e2e-debian12` compiles.

    One for the processor of this machine: others would run in an emulator, and slowly.
    """
    return _find("kubernetes", program)


def find_go_program(program: str) -> Path | None:
    """Of the modules of k8s-1.37-go; `kubernetes` is all of Kubernetes, by the name that it is called by."""
    return _find("programs", program)


def find_layer() -> Path | None:
    """The layer that images of k8s-1.37-go share, with kube-router's tools in it."""
    return _find("layer", "layer.tar", package="iproute2")


def _find(kind: str, name: str, package: str | None = None) -> Path | None:
    for path in CACHE.glob(f"{kind}/*/{name}"):
        recipe = json.loads((path.parent / "manifest.json").read_text())["recipe"]
        is_whole = package is None or package in recipe["packages"]
        if recipe["arch"] == Arch.of_this_machine().debian and is_whole:
            return path
    return None
