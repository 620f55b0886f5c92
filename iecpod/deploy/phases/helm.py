"""Helm on the control plane node, as the IEC text installs it: its program, and tiller's for Helm 2.

A release of Go modules has it compiled with Kubernetes: phase `runtime` installs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iecpod.deploy.node.node_probe import ask
from iecpod.deploy.waiting.waits import Waits
from iecpod.ports import Reporter, Shell
from iecpod.release.release import Release

_BIN_DIR = "/usr/local/bin"
#: Arguments: the program, then what it is asked with.
_SHOW_VERSION = 'if test -e "$1"; then "$@"; else echo none; fi'
_VERSION = re.compile(r"(?:Client: )?v([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?)(?:\+[0-9A-Za-z.-]+)?\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class HelmPhase:
    """`fetch_programs` returns files of this machine, in an architecture that the node runs."""

    release: Release
    shell: Shell
    fetch_programs: Callable[[], tuple[Path, ...]]
    reporter: Reporter
    waits: Waits
    name: str = "helm"
    summary: str = "Helm on the first node, where the release has it"

    def probe(self) -> str | None:
        if self.release.helm is None:
            return "compiled with Kubernetes" if _has_compiled(self.release) else "the release has none"
        version = self.release.helm.version
        # Helm 2 would ask tiller for its own version, too.
        options = ("version", "--client", "--short") if version.startswith("2.") else ("version", "--short")
        found = ask(self.shell, self.waits, _SHOW_VERSION, f"{_BIN_DIR}/helm", *options, read=_read_version)
        return f"Helm {version}" if found == version else None

    def run(self) -> None:
        for program in self.fetch_programs():
            self.reporter.progress(f"receives {program.name}", self.shell.node)
            self.shell.send_file(program, f"{_BIN_DIR}/{program.name}", 0o755)


def _has_compiled(release: Release) -> bool:
    return release.go is not None and any(module.name == "helm" for module in release.go.modules)


def _read_version(printed: str) -> str | None:
    """Empty where there is no Helm; None of what is no answer."""
    if printed == "none\n":
        return ""
    found = _VERSION.fullmatch(printed)
    return found[1] if found else None
