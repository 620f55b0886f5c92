"""Programs compiled from Go modules, for any architecture: fetched and verified, then compiled without a network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from iecpod.design.go_source import GoModule, GoToolchain
from iecpod.design.release import ImageSource
from iecpod.errors import IecpodError, ImageError
from iecpod.images.c_toolchain import CToolchain, c_recipe
from iecpod.images.cache import Artifact, Cache
from iecpod.images.go_modules import copy_module, module_files, module_version
from iecpod.images.go_progress import CompileProgress, DownloadWatch
from iecpod.images.process import run_tool
from iecpod.model import Arch

_KIND = "programs"

#: A change of how programs are compiled.
_VERSION = 1

_LINKER_FLAGS = "-s -w"

#: A compiler process takes up to this much, and the linker of Kubernetes twice as much.
_BYTES_A_JOB = 1536 * 1024 * 1024

#: What modules and objects take at most while they are needed (Kubernetes alone: 3.5 GB).
_WORK_BYTES = 6 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBuild:
    """What compiles: GOROOT, and for modules with cgo a C toolchain. Directories are kept until `finish`."""

    cache: Cache
    toolchain: GoToolchain
    go_root: Path
    c_toolchain: CToolchain

    def ensure(self, module: GoModule, arch: Arch) -> Artifact:
        """The programs of a module, static. Raises `ImageError`."""
        version = module_version(module)
        title = f"{module.name} {version}".rstrip()

        def make(directory: Path) -> Mapping[str, Any]:
            with self.cache.lock("go-build"):
                self._check_room()
                log_path = self.cache.log_path(f"go-{module.name}-{arch.debian}")
                work = self.work_dir / module.name
                shutil.rmtree(work, ignore_errors=True)
                copy_module(module.name, work)
                watch = DownloadWatch(self.work_dir / "modules", self.cache.reporter, module.name)
                packages = self._fetch(module, arch, work, log_path, watch.look)
                self._compile(module, arch, work, directory, log_path, packages)
            return {"version": version, "packages": packages}

        return self.cache.ensure(_KIND, self._recipe(module, arch), make, f"compiling {title} for {arch.debian}")

    def is_compiled(self, module: GoModule, arch: Arch) -> bool:
        return self.cache.place(_KIND, self._recipe(module, arch)).exists()

    def _recipe(self, module: GoModule, arch: Arch) -> dict[str, Any]:
        return compile_recipe(module, self.toolchain, self.c_toolchain.image, arch)

    @property
    def work_dir(self) -> Path:
        """Modules and compiled packages: what was fetched and compiled before a kill is there for the next run."""
        return self.cache.root / "go-work"

    def finish(self) -> None:
        """Removes what only compiling needs."""
        with self.cache.lock("go-build"):
            shutil.rmtree(self.work_dir, ignore_errors=True)

    def prefetch(self, modules: Sequence[GoModule], arch: Arch) -> None:
        """Fetches what later modules need while another is compiled; what fails here fails again where it is needed."""
        for module in modules:
            with contextlib.suppress(IecpodError, OSError), self.cache.staging("go-prefetch") as work:
                copy_module(module.name, work / module.name)
                log_path = self.cache.log_path(f"go-prefetch-{module.name}")
                self._fetch(module, arch, work / module.name, log_path, lambda _log: None)

    def _check_room(self) -> None:
        self.work_dir.mkdir(parents=True, exist_ok=True)
        used = sum(path.lstat().st_size for path in self.work_dir.rglob("*") if path.is_file())
        missing = _WORK_BYTES - used - shutil.disk_usage(self.work_dir).free
        if missing > 0:
            raise ImageError(
                f"compiling takes up to {_WORK_BYTES >> 30} GiB of disk in {self.cache.root} for as long as it runs; "
                f"{-(-missing >> 30)} GiB are missing",
                "free some disk space, or name a cache on another disk with IECPOD_CACHE_DIR",
            )

    def _fetch(self, module: GoModule, arch: Arch, work: Path, log_path: Path, watch: Callable[[str], None]) -> int:
        """Fetches every module that the programs need, verified by go.sum; returns the number of packages."""
        listing = work / "packages"
        names = list(module.programs.values())
        script = 'list=$1; shift; exec "$@" > "$list"'
        go = [str(self.go_root / "bin/go"), "list", "-mod=readonly", "-deps", "-tags", ",".join(module.tags)]
        run_tool(
            ["sh", "-ec", script, "list", str(listing), *go, "--", *names],
            purpose=f"fetching the Go modules of {module.name}",
            log_path=log_path,
            directory=work,
            environment=self._environment(module, arch),
            network=True,
            watch=watch,
        )
        return len(listing.read_text().split())

    def _compile(
        self, module: GoModule, arch: Arch, work: Path, directory: Path, log_path: Path, packages: int
    ) -> None:
        progress = CompileProgress(self.cache.reporter, module.name, packages)
        run_tool(
            [
                *(str(self.go_root / "bin/go"), "build", "-mod=readonly", "-v", f"-ldflags={_linker_flags(module)}"),
                *("-tags", ",".join(module.tags), "-o", f"{directory}/", "--", *module.programs.values()),
            ],
            purpose=f"compiling {module.name}",
            log_path=log_path,
            directory=work,
            environment={**self._environment(module, arch), "GOPROXY": "off"},
            watch=progress.look,
        )
        for program, package in module.programs.items():
            (directory / _default_name(module, package)).rename(directory / program)

    def _environment(self, module: GoModule, arch: Arch) -> dict[str, str]:
        jobs = _jobs()
        environment = {
            "CGO_ENABLED": "0",
            "GOAMD64": "v1",
            "GOARCH": arch.debian,
            "GOARM64": "v8.0",
            "GOCACHE": str(self.work_dir / "objects"),
            "GOENV": "off",
            "GOEXPERIMENT": "",
            "GOFLAGS": f"-trimpath -buildvcs=false -modcacherw -p={jobs}",
            "GOMAXPROCS": str(jobs),
            "GOMODCACHE": str(self.work_dir / "modules"),
            "GOOS": "linux",
            "GOROOT": str(self.go_root),
            # go.sum has the digest of everything; what it lacks is an error, and not asked for elsewhere.
            "GOSUMDB": "off",
            "GOTOOLCHAIN": "local",
            "GOVCS": "*:off",
            "GOWORK": "off",
            "HOME": str(self.work_dir),
        }
        return environment | (self.c_toolchain.environment(module, arch) if module.cgo else {})


def compile_recipe(module: GoModule, toolchain: GoToolchain, image: ImageSource, arch: Arch) -> dict[str, Any]:
    """What decides the bytes of the programs; `image` is where a module with cgo has its C libraries from."""
    files = json.dumps(module_files(module.name), sort_keys=True).encode()
    return {
        "version": _VERSION,
        "module": hashlib.sha256(files).hexdigest(),
        "go": toolchain.version,
        "programs": module.programs,
        "flags": [_linker_flags(module), *module.tags],
        "c": c_recipe(image, module) if module.cgo else {},
        "arch": arch.debian,
    }


def _linker_flags(module: GoModule) -> str:
    version = module_version(module)
    variables = [f"-X={name}={value.format(version=version)}" for name, value in module.variables.items()]
    static = ["-linkmode=external -extldflags=-static"] if module.cgo else []
    return " ".join([_LINKER_FLAGS, *static, *variables])


def _default_name(module: GoModule, package: str) -> str:
    """What `go build -o DIRECTORY/` calls the program of a package: without the version that ends a module's path."""
    if package == ".":
        return module.name
    parts: Sequence[str] = PurePosixPath(package).parts
    is_version = parts[-1].startswith("v") and parts[-1][1:].isdigit()
    return parts[-2] if is_version else parts[-1]


def _jobs() -> int:
    """Processes at once: one a processor, fewer where memory would not do."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory // _BYTES_A_JOB - 1))
