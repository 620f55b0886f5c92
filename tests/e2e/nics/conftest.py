"""A machine whose mgmt and public come by one NIC with tags, and whose NICs are not in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.nics.trunk_pod import LAB, POD, write_descriptors
from tests.e2e.teardown import torn_down

_OPTIONS = ("-c", "embedded", "--release", RELEASE, "-s", "k8-kube-router-iec-noha", "--until", "reachable")


@pytest.fixture(scope="package")
def pod(as_root: None) -> Iterator[Iecpod]:
    with TemporaryDirectory(prefix="iecpod-e2e-nics-") as directory:
        root = Path(directory)
        write_descriptors(root / "base")
        with torn_down(Iecpod(root, LAB, POD)) as command:
            command.check("deploy", "-b", f"file://{root}/base", *_OPTIONS)
            yield command
