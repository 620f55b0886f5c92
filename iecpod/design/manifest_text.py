"""Manifests of Kubernetes as texts: as they were fetched, and as they are to be applied."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ManifestText:
    """A manifest as it was fetched; `file` is where it is from."""

    file: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PatchedManifest:
    """The manifest as it is to be applied, and one line for people for each thing changed.

    `custom_resources` are objects of kinds that the API server knows only when `text` has been applied; `custom_kinds`
    are the names of their CustomResourceDefinitions. `images` are those of all containers in `text`, by the names that
    nodes ask for.
    """

    text: str
    changes: tuple[str, ...]
    custom_resources: str = ""
    custom_kinds: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
