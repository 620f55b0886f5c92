"""Names of container images: `REGISTRY/NAME:TAG`, and behind it `@sha256:…` where it is known what the tag must be."""

from __future__ import annotations

import re

#: The registry of names that have none.
DOCKER_HUB = "docker.io"

#: A full name, as `full_reference` makes it, without a digest; at most 511 characters.
_TAGGED = re.compile(
    r"(?=.{1,511}\Z)[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
)


def is_tagged(reference: str) -> bool:
    """Whether it is `REGISTRY/NAME:TAG` and nothing else."""
    return _TAGGED.fullmatch(reference) is not None


def full_reference(name: str) -> str:
    """With registry and tag, as container runtimes complete a name that lacks them."""
    first, slash, rest = name.partition("/")
    if not slash:
        name = f"{DOCKER_HUB}/library/{name}"
    elif not ({".", ":"} & set(first)) and first != "localhost":
        name = f"{DOCKER_HUB}/{first}/{rest}"
    return name if {":", "@"} & set(name.rpartition("/")[2]) else f"{name}:latest"


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
