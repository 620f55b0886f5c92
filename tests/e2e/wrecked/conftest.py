"""local/virtual1, whose machines and connections are broken here; each file begins with it as it was deployed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.verified_pod import make_verified, verified_pod


@pytest.fixture(scope="package")
def wrecked_pod(shared_lab: Iecpod) -> Iterator[Iecpod]:
    with verified_pod(shared_lab) as command:
        yield command


@pytest.fixture(scope="module")
def pod(wrecked_pod: Iecpod) -> Iterator[Iecpod]:
    yield wrecked_pod
    make_verified(wrecked_pod)
