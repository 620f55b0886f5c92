"""local/virtual1, which is saved, removed and restored here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.checkpoint.saved_pod import SavedPod
from tests.e2e.command import Iecpod
from tests.e2e.verified_pod import verified_pod


@pytest.fixture(scope="package")
def pod(shared_lab: Iecpod) -> Iterator[SavedPod]:
    with verified_pod(shared_lab) as command:
        yield SavedPod(command)
