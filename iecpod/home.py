"""Paths that begin with `~`: the one way to resolve them, since not every user has a home."""

from __future__ import annotations

from pathlib import Path

from iecpod.errors import UsageError


def in_home(path: Path) -> Path | None:
    """Without `~` at its beginning; None where that is no home directory."""
    try:
        return path.expanduser()
    except RuntimeError:
        return None


def expanded_path(path: Path, name: str) -> Path:
    """As `in_home`. Raises `UsageError` for ~nobody/x, which says that `name` gave it."""
    found = in_home(path)
    if found is None:
        raise UsageError(f"{name}: there is no home directory for {path}", "write the whole path")
    return found


def absolute_path(path: Path, name: str) -> Path:
    """As `expanded_path`: programs that we start, and later commands, have other working directories."""
    return expanded_path(path, name).absolute()
