"""The files of `releases/modules/NAME`: what pins the sources of a program, and its own `main.go` where it has one."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from iecpod.release.go_source import GoModule, required_version, source_digest

_SUFFIXES = (".go", ".mod", ".sum")


def module_dir(directory: str) -> Path:
    return Path(str(importlib.resources.files("iecpod"))) / "releases" / "modules" / directory


def module_files(directory: str) -> dict[str, str]:
    """The texts of a directory of modules, by file name."""
    entries = sorted(entry for entry in module_dir(directory).iterdir() if entry.suffix in _SUFFIXES)
    return {entry.name: entry.read_text(encoding="utf-8") for entry in entries}


def copy_module(module: GoModule, target: Path) -> None:
    """Into a new directory: Go may write to the directory of a module."""
    target.mkdir(parents=True)
    for file, text in module_files(module.directory).items():
        (target / file).write_text(text, encoding="utf-8")


def module_version(module: GoModule) -> str:
    """The version of the module's source, without the leading `v`; empty for a program of our own."""
    return required_version(module_files(module.directory)["go.mod"], module.source)


def module_digest(module: GoModule) -> str:
    """What `go.sum` says of the content of the module's source."""
    return source_digest(module_files(module.directory)["go.sum"], module.source, module_version(module))
