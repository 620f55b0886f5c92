"""Whether the sources of a release of Go modules are available, checked before anything depends on them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from iecpod.cache.artifacts import Cache
from iecpod.errors import CommandFailed, ImageError
from iecpod.images.build.go.modules import module_version
from iecpod.images.build.go.toolchain import ask_go, ensure_go
from iecpod.images.build.node_software import software_recipe
from iecpod.model import Arch
from iecpod.release.release import Release

_ANSWER_SECONDS = 30.0
_MAIN_MODULE = "kubernetes"


def check_go_sources(cache: Cache, release: Release, arch: Arch) -> None:
    """Asks the Go module proxy for the release's Kubernetes; nothing is asked where all is compiled already.

    Raises `ImageError` that names what does not answer.
    """
    assert release.go is not None, "only releases of Go modules are asked for"
    if cache.place("software", software_recipe(release, arch)).exists():
        return
    go = ensure_go(cache, release.go.toolchain) / "bin/go"
    module = release.go.module(_MAIN_MODULE)
    wanted = f"{module.source}@v{module_version(module)}"
    with tempfile.TemporaryDirectory(prefix="iecpod-go-") as directory:
        refusal = _ask_proxy(go, wanted, Path(directory))
    if refusal:
        raise ImageError(
            refusal, "check GOPROXY, network and proxy; modules of Kubernetes are compiled into the base image"
        )


def _ask_proxy(go: Path, wanted: str, directory: Path) -> str:
    """Why the module is not available; empty where it is. Silence is reported as such."""
    try:
        done = ask_go(
            go, ["list", "-m", "-json", wanted], directory, home=directory, seconds=_ANSWER_SECONDS, check_sums=False
        )
    except CommandFailed as error:
        return f"the Go module proxy did not answer for {wanted}: {error.tail}"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or [f"go exited with {done.returncode}"]
    return f"the Go module proxy does not provide {wanted}: {lines[-1]}"
