"""local/virtual1, whose machines and connections are broken here; each test leaves it whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.teardown import torn_down


@pytest.fixture(scope="package")
def pod(baked: None) -> Iterator[Iecpod]:
    with TemporaryDirectory(prefix="iecpod-e2e-wrecked-") as root, torn_down(Iecpod(Path(root))) as command:
        command.check("deploy")
        yield command
