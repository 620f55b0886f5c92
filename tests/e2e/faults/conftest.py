"""No POD stands here: each test makes what it needs, and all of them together leave nothing on the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.teardown import HostSnapshot, torn_down


@pytest.fixture(scope="package", autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = HostSnapshot.take()
    yield
    assert HostSnapshot.take() == before


@pytest.fixture(scope="package")
def iecpod(as_root: None) -> Iterator[Iecpod]:
    """For local/virtual1, which is not deployed."""
    with TemporaryDirectory(prefix="iecpod-e2e-") as root, torn_down(Iecpod(Path(root))) as command:
        yield command
