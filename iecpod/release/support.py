"""Whether upstream still supports what a release is made of."""

from __future__ import annotations

import datetime

from iecpod.errors import Problem, Severity
from iecpod.release.release import Release


def check_support(release: Release, today: datetime.date) -> list[Problem]:
    """A warning from the day after the last one of upstream's support for its Kubernetes."""
    until = release.supported_until
    if until is None or today <= until:
        return []
    return [
        Problem(
            message=f"release {release.name} is past its support: Kubernetes {release.kubernetes_version} gets no "
            f"fixes from upstream since {until}, also none for security",
            remedy="choose another --release (`iecpod releases list`), or let only trusted users reach the cluster",
            rule="release-unsupported",
            severity=Severity.WARNING,
        )
    ]
