"""local/virtual1, which is saved, removed and restored here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.checkpoint.saved_pod import SavedPod
from tests.e2e.command import Iecpod
from tests.e2e.teardown import torn_down


@pytest.fixture(scope="package")
def pod(baked: None) -> Iterator[SavedPod]:
    with TemporaryDirectory(prefix="iecpod-e2e-checkpoint-") as root, torn_down(Iecpod(Path(root))) as command:
        command.check("deploy")
        made = SavedPod(command)
        try:
            yield made
        finally:
            made.remove_all()
