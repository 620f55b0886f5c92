"""Programs compiled from Go modules, for any architecture: fetched and verified, then compiled without a network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from iecpod.cache.artifacts import Artifact, Cache
from iecpod.errors import IecpodError
from iecpod.images.build.c_toolchain import CToolchain, c_recipe
from iecpod.images.build.go.modules import copy_module, module_files, module_version
from iecpod.images.build.go.progress import CompileProgress, DownloadWatch
from iecpod.images.build.go.work_directory import WorkBound, held_for_build, make_room, remove_work, work_directory
from iecpod.images.confinement.tool import run_tool
from iecpod.model import Arch
from iecpod.release.go_source import GoModule, GoToolchain
from iecpod.release.release import ImageSource

#: The kinds of artifacts that programs and tests are.
PROGRAMS = "programs"
_TESTS = "tests"

#: A change of how programs are compiled.
_VERSION = 2

#: The linker leaves out what debuggers need; a compiler that does not make it takes an eighth less time, and objects a
#: fifth less disk.
_COMPILER_FLAGS = "all=-dwarf=false"
_LINKER_FLAGS = "-s -w"

#: Guests and other work of this host come first: compiling beside a POD starves its API server otherwise.
_YIELDING = ("nice", "-n", "10")

#: A compiler process takes up to this much, and the linker of Kubernetes twice as much.
_BYTES_A_JOB = 1536 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Job:
    """A module on its way; `packages` are those that its programs are made of, once they are fetched.

    `label` is what progress calls it.
    """

    module: GoModule
    arch: Arch
    work: Path
    log_path: Path
    label: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBuild:
    """What compiles: GOROOT, and for modules with cgo a C toolchain. Directories are kept until `finish`."""

    cache: Cache
    toolchain: GoToolchain
    go_root: Path
    c_toolchain: CToolchain

    def ensure_all(self, modules: Sequence[GoModule], arch: Arch) -> dict[str, Artifact]:
        """By the names of the modules. Raises `ImageError`."""
        missing = [module.name for module in modules if not self.is_compiled(module, arch)]
        places = {name: f" (module {index} of {len(missing)})" for index, name in enumerate(missing, start=1)}
        return {module.name: self.ensure(module, arch, places.get(module.name, "")) for module in modules}

    def ensure(self, module: GoModule, arch: Arch, place: str = "") -> Artifact:
        """The programs of a module, static; progress has its `place` among others. Raises `ImageError`."""

        def make(directory: Path) -> Mapping[str, Any]:
            with self._prepared(module, arch, module.programs, place=place) as job:
                self._compile(job, directory)
            return {"version": module_version(module), "packages": len(job.packages)}

        doing = f"compiling {_title(module)} for {arch.debian}"
        return self.cache.ensure(PROGRAMS, self._recipe(module, arch), make, doing)

    def ensure_tests(self, module: GoModule) -> Artifact:
        """The tests of a module as programs of this host, since they run here. Raises `ImageError`."""
        arch = Arch.of_this_machine()

        def make(directory: Path) -> Mapping[str, Any]:
            with self._prepared(module, arch, module.tests, "-test") as job:
                self._compile_tests(job, directory)
            return {"version": module_version(module), "packages": len(job.packages)}

        return self.cache.ensure(_TESTS, self._tests_recipe(module), make, f"compiling the tests of {_title(module)}")

    def is_compiled(self, module: GoModule, arch: Arch) -> bool:
        return self.cache.place(PROGRAMS, self._recipe(module, arch)).exists()

    def are_tests_compiled(self, module: GoModule) -> bool:
        return self.cache.place(_TESTS, self._tests_recipe(module)).exists()

    def _tests_recipe(self, module: GoModule) -> dict[str, Any]:
        return {**self._recipe(module, Arch.of_this_machine()), "programs": module.tests}

    def _recipe(self, module: GoModule, arch: Arch) -> dict[str, Any]:
        return compile_recipe(module, self.toolchain, self.c_toolchain.image, arch)

    @property
    def work_dir(self) -> Path:
        """Modules and compiled packages: what was fetched and compiled before a kill is there for the next run."""
        return work_directory(self.cache.root)

    def finish(self) -> None:
        """Removes what only compiling needs."""
        with held_for_build(self.cache):
            remove_work(self.cache.root)

    def prefetch(self, modules: Sequence[GoModule], arch: Arch) -> None:
        """Fetches what later modules need while another is compiled; what fails here fails again where it is needed."""
        for module in modules:
            with contextlib.suppress(IecpodError, OSError), self.cache.staging("go-prefetch") as work:
                log_path = self.cache.log_path(f"go-prefetch-{module.name}")
                job = _Job(module, arch, work / module.name, log_path, module.name)
                copy_module(module, job.work)
                self._fetch(job, module.programs, (), lambda _log: None)

    @contextlib.contextmanager
    def _prepared(
        self, module: GoModule, arch: Arch, programs: Mapping[str, str], *flags: str, place: str = ""
    ) -> Iterator[_Job]:
        """Held by one build at a time; the sources of `programs` are there."""
        with held_for_build(self.cache):
            make_room(self.cache)
            what = f"{module.name}-tests" if programs is module.tests else module.name
            log_path = self.cache.log_path(f"go-{what}-{arch.debian}")
            job = _Job(module, arch, self.work_dir / module.name, log_path, f"{module.name}{place}")
            shutil.rmtree(job.work, ignore_errors=True)
            copy_module(module, job.work)
            watch = DownloadWatch(self.work_dir / "modules", self.cache.reporter, job.label)
            yield replace(job, packages=self._fetch(job, programs, flags, watch.look))

    def _fetch(
        self, job: _Job, programs: Mapping[str, str], flags: Sequence[str], watch: Callable[[bytes], None]
    ) -> tuple[str, ...]:
        """Fetches every module that the programs need, verified by go.sum; returns the packages they are made of."""
        listing = job.work / "packages"
        script = 'list=$1; shift; exec "$@" > "$list"'
        go = [str(self.go_root / "bin/go"), "list", "-mod=readonly", "-deps", *flags, *_tags(job.module)]
        run_tool(
            ["sh", "-ec", script, "list", str(listing), *go, "--", *programs.values()],
            purpose=f"fetching the Go modules of {job.module.name}",
            log_path=job.log_path,
            directory=job.work,
            environment=self._environment(job.module, job.arch),
            network=True,
            watch=watch,
        )
        return tuple(listing.read_text().splitlines())

    def _compile(self, job: _Job, directory: Path) -> None:
        programs = job.module.programs
        flags = ("-v", f"-ldflags={_linker_flags(job.module)}", "-o", f"{directory}/")
        self._run(job, "build", *flags, "--", *programs.values())
        for program, package in programs.items():
            (directory / _default_name(job.module, package)).rename(directory / program)

    def _compile_tests(self, job: _Job, directory: Path) -> None:
        """`go test -c` does not say how far it is, and `go list -export` compiles the same packages before it."""
        tests = job.module.tests
        listing = ("-v", "-export", "-test", "-deps", "-f={{with false}}{{end}}")
        self._run(job, "list", *listing, "--", *tests.values())
        for program, package in tests.items():
            # To `go test`, what follows a `--` are arguments of the tests.
            flags = ("-c", f"-ldflags={_linker_flags(job.module)}", "-o", str(directory / program))
            self._run(job, "test", *flags, package)

    def _run(self, job: _Job, command: str, *arguments: str) -> None:
        """Without a network. With `-v`, Go names each package as it begins to compile it."""
        progress = CompileProgress(self.cache.reporter, job.label, len(job.packages))
        bound = WorkBound(self.work_dir)

        def look(written: bytes) -> None:
            bound.look()
            if "-v" in arguments:
                progress.look(written)

        run_tool(
            [*_YIELDING, str(self.go_root / "bin/go"), command, "-mod=readonly", *_tags(job.module), *arguments],
            purpose=f"compiling {job.module.name}",
            log_path=job.log_path,
            directory=job.work,
            environment={**self._environment(job.module, job.arch), "GOPROXY": "off"},
            watch=look,
        )

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
            "GOFLAGS": f"-trimpath -buildvcs=false -modcacherw -gcflags={_COMPILER_FLAGS} -p={jobs}",
            "GOMAXPROCS": str(jobs),
            "GOMODCACHE": str(self.work_dir / "modules"),
            "GOOS": "linux",
            "GOTMPDIR": str(self.work_dir / "tmp"),
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
    files = json.dumps(module_files(module.directory), sort_keys=True).encode()
    return {
        "version": _VERSION,
        "module": hashlib.sha256(files).hexdigest(),
        "go": toolchain.version,
        "programs": module.programs,
        "flags": [_linker_flags(module), *module.tags],
        "c": c_recipe(image, module) if module.cgo else {},
        "arch": arch.debian,
    }


def _title(module: GoModule) -> str:
    return f"{module.name} {module_version(module)}".rstrip()


def _tags(module: GoModule) -> tuple[str, str]:
    return "-tags", ",".join(module.tags)


def _linker_flags(module: GoModule) -> str:
    version = module_version(module)
    variables = [f"-X={name}=" + value.replace("{version}", version) for name, value in module.variables.items()]
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
