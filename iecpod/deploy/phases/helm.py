"""Helm on the control plane node, as the IEC text installs it: its program, and tiller's for Helm 2.

A release of Go modules has it compiled with Kubernetes: phase `runtime` installs it, and this one asks which it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iecpod.ports import Reporter, Shell
from iecpod.release.release import Release

_BIN_DIR = "/usr/local/bin"
#: Where programs that are compiled with Kubernetes are installed.
_COMPILED = "/usr/bin/helm"
_SHOWN = re.compile(r"\bv(\d+\.\d+\.\d+[^\s+]*)")


@dataclass(frozen=True, slots=True)
class HelmPhase:
    """`fetch_programs` returns files of this machine, in an architecture that the node runs."""

    release: Release
    shell: Shell
    fetch_programs: Callable[[], tuple[Path, ...]]
    reporter: Reporter
    name: str = "helm"
    summary: str = "Helm on the first node, where the release has it"

    def probe(self) -> str | None:
        if self.release.helm is None:
            return self._compiled() if _has_compiled(self.release) else "the release has none"
        version = self.release.helm.version
        # Helm 2 would ask tiller for its own version, too.
        ask = ("version", "--client", "--short") if version.startswith("2.") else ("version", "--short")
        shown = self.shell.run([f"{_BIN_DIR}/helm", *ask], check=False)
        is_it = re.search(rf"\bv{re.escape(version)}(\+|\s|$)", shown.stdout)
        return f"Helm {version}" if shown.returncode == 0 and is_it else None

    def _compiled(self) -> str:
        """What the node has: a bundle may have been made by another version of iecpod."""
        shown = self.shell.run([_COMPILED, "version", "--short"], check=False)
        version = _SHOWN.search(shown.stdout)
        if shown.returncode or version is None:
            return f"compiled with Kubernetes; version unknown, since `helm version` ended with {shown.returncode}"
        return f"Helm {version[1]}, compiled with Kubernetes"

    def run(self) -> None:
        for program in self.fetch_programs():
            self.reporter.progress(f"receives {program.name}", self.shell.node)
            self.shell.send_file(program, f"{_BIN_DIR}/{program.name}", 0o755)


def _has_compiled(release: Release) -> bool:
    return release.go is not None and any(module.name == "helm" for module in release.go.modules)
