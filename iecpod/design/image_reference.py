"""Names of container images: `REGISTRY/NAME:TAG`, and behind it `@sha256:…` where it is known what the tag must be."""

from __future__ import annotations


def digest_of(reference: str) -> str:
    """Empty where the tag alone decides."""
    return reference.partition("@")[2]


def without_digest(reference: str) -> str:
    """The name that an archive of images has for it."""
    return reference.partition("@")[0]


def by_digest(reference: str) -> str:
    """Without the tag where there is a digest: the name that a container runtime keeps such an image by."""
    name, at, digest = reference.partition("@")
    return f"{name.rpartition(':')[0]}@{digest}" if at else reference
