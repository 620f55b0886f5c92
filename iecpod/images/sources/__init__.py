"""Small programs of our own in other languages, compiled into bundles."""

from __future__ import annotations

import importlib.resources


def read_source(name: str) -> str:
    """The text of a source file of this package."""
    return importlib.resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
