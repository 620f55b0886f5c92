"""Helm on the control plane node, as the IEC text installs it: its program, and tiller's for Helm 2."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iecpod.ports import Reporter, Shell
from iecpod.release.release import Release

_BIN_DIR = "/usr/local/bin"


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
            return "the release has none"
        version = self.release.helm.version
        # Helm 2 would ask tiller for its own version, too.
        ask = ("version", "--client", "--short") if version.startswith("2.") else ("version", "--short")
        shown = self.shell.run([f"{_BIN_DIR}/helm", *ask], check=False)
        is_it = re.search(rf"\bv{re.escape(version)}(\+|\s|$)", shown.stdout)
        return f"Helm {version}" if shown.returncode == 0 and is_it else None

    def run(self) -> None:
        for program in self.fetch_programs():
            self.reporter.progress(f"receives {program.name}", self.shell.node)
            self.shell.send_file(program, f"{_BIN_DIR}/{program.name}", 0o755)
