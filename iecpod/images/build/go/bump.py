"""Moves a release of Go modules to newer versions: asks the module proxy, writes `go.mod`, `go.sum` and the releases.

What it writes is a diff to be read, and compiled, before it is committed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iecpod.errors import CommandFailed, ImageError, UsageError
from iecpod.images.build.go.modules import copy_module, module_dir, module_version
from iecpod.images.build.go.toolchain import ask_go
from iecpod.ports import Reporter
from iecpod.release.bump_review import Review, find_reviews
from iecpod.release.go_bump import (
    KUBERNETES,
    Bump,
    bump_connected,
    bump_kubernetes,
    bump_release,
    newest_patch,
    parse_versions,
)
from iecpod.release.go_source import GoModule, GoSource
from iecpod.yaml.document import load_yaml

_SECONDS = 1800.0
_TAIL_LINES = 10


@dataclass(frozen=True, slots=True)
class GoBump:
    """`go` is the program; `release_file` names the modules of `source`."""

    go: Path
    source: GoSource
    release_file: Path
    reporter: Reporter

    def run(self, only: str | None, version: str | None) -> tuple[Bump, ...]:
        """All modules to the newest patch version, or `only` one, to `version` where that is given.

        Files are written when all of it has gone well. Raises `ImageError`, `UsageError`.
        """
        with tempfile.TemporaryDirectory(prefix="iecpod-bump-") as directory:
            work = Path(directory)
            bumps = tuple(self._wanted(work, only, version))
            for bump in bumps:
                self.reporter.progress(f"{bump.module}: {bump.old} -> {bump.new}")
                self._move(work, self.source.module(bump.module), bump)
            for bump in bumps:
                module = self.source.module(bump.module)
                for name in ("go.mod", "go.sum"):
                    (module_dir(module.directory) / name).write_bytes((work / bump.module / name).read_bytes())
        if bumps:
            self.release_file.write_text(bump_release(self.release_file.read_text(), bumps))
            self._move_connected(bumps)
        return bumps

    def reviews(self, bumps: Sequence[Bump]) -> tuple[Review, ...]:
        """What no module proxy knows, of the release and of those that fetch the same Kubernetes, or did before."""
        versions = {self._kubernetes_version(self.release_file), *(bump.old for bump in bumps)}
        files = [self.release_file, *(file for file in self._others() if self._kubernetes_version(file) in versions)]
        return tuple(review for file in files for review in find_reviews(file.read_text(), file.name))

    def _others(self) -> Iterator[Path]:
        return (file for file in sorted(self.release_file.parent.glob("*.yaml")) if file != self.release_file)

    @staticmethod
    def _kubernetes_version(file: Path) -> str:
        data = load_yaml(file.read_bytes(), str(file)).data
        return str(data.get("kubernetes_version")) if isinstance(data, dict) else ""

    def _move_connected(self, bumps: Sequence[Bump]) -> None:
        """Releases that fetch packages of the Kubernetes that is compiled stay releases of the same."""
        for bump in bumps:
            if self.source.module(bump.module).source != KUBERNETES:
                continue
            for file in self._others():
                old = file.read_text()
                if (new := bump_connected(old, bump)) != old:
                    file.write_text(new)
                    self.reporter.progress(f"{file.name}: Kubernetes {bump.old} -> {bump.new}")

    def _wanted(self, work: Path, only: str | None, version: str | None) -> Iterator[Bump]:
        modules = {module.name: module for module in self._modules()}
        if only is not None and only not in modules:
            raise UsageError(f"the release has no module {only!r} with a version", "use one of: " + ", ".join(modules))
        if version is not None and only is None:
            raise UsageError("--version is that of one module", "name it with --module")
        for module in modules.values():
            if only in (None, module.name):
                old = module_version(module)
                new = version.removeprefix("v") if version else newest_patch(old, self._versions(work, module))
                if new != old:
                    yield Bump(module.name, old, new)

    def _modules(self) -> Iterator[GoModule]:
        """One of each directory; programs of our own have no version."""
        seen = set()
        for module in self.source.modules:
            if module.directory not in seen and module_version(module):
                seen.add(module.directory)
                yield module

    def _versions(self, work: Path, module: GoModule) -> tuple[str, ...]:
        answer = self._ask(work, work, "list", "-m", "-versions", module.source)
        return parse_versions(answer).get(module.source, ())

    def _move(self, work: Path, module: GoModule, bump: Bump) -> None:
        directory = work / module.name
        copy_module(module, directory)
        if module.source == KUBERNETES:
            go_mod = directory / "go.mod"
            go_mod.write_text(bump_kubernetes(go_mod.read_text(), bump.old, bump.new))
        else:
            self._ask(work, directory, "get", f"{module.source}@v{bump.new}")
        self._ask(work, directory, "mod", "tidy")

    def _ask(self, work: Path, directory: Path, *arguments: str) -> str:
        try:
            done = ask_go(self.go, arguments, directory, home=work / "home", seconds=_SECONDS)
        except CommandFailed as error:
            raise ImageError(f"`go {' '.join(arguments)}`: {error.tail}", "check GOPROXY, network and proxy") from error
        if done.returncode:
            tail = "\n".join(done.stderr.strip().splitlines()[-_TAIL_LINES:])
            raise ImageError(f"`go {' '.join(arguments)}` exited with {done.returncode}\n{tail}", "see what Go says")
        return done.stdout
