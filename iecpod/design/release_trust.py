"""What of a release's software is taken as its server gives it, since nothing says what it must be: warnings."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.design.release import Release
from iecpod.errors import Problem, Severity


def check_trust(release: Release) -> list[Problem]:
    """Each download that neither a digest nor a fingerprint of the release vouches for; a bundle has all of them."""
    return list(_check_keys(release))


def _check_keys(release: Release) -> Iterator[Problem]:
    for repository in release.repositories:
        if "://" in repository.key_url and not repository.key_fingerprint and not repository.withdrawn:
            yield Problem(
                message=f"nothing says which key signs the repository {repository.name}: what {repository.key_url} "
                "gives is trusted",
                remedy="write its `key_fingerprint` into a copy of the release (`iecpod releases show "
                f"{release.name}`), or give the key as a file: --repository-key {repository.name}=FILE",
                rule="key-not-pinned",
                severity=Severity.WARNING,
            )
