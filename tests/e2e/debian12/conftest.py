"""A small POD of the release debian12."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.small_lab import LAB, PAIR, write_descriptors
from tests.e2e.teardown import torn_down

_OPTIONS = ("-c", "embedded", "--release", "debian12", "-s", "k8-bridge-iec-noha")


@pytest.fixture(scope="package")
def pod(as_root: None) -> Iterator[Iecpod]:
    with TemporaryDirectory(prefix="iecpod-e2e-debian12-") as directory:
        root = Path(directory)
        write_descriptors(root / "lab")
        with torn_down(Iecpod(root, LAB, PAIR)) as command:
            command.check("deploy", "-b", f"file://{root / 'lab'}", *_OPTIONS)
            yield command
