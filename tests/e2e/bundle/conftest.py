"""A machine whose host has no network: its software is in a bundle that was built elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.small_lab import LAB, SINGLE, write_descriptors
from tests.e2e.teardown import torn_down

#: Nobody is reached from there, not even this host.
_ALONE = ("unshare", "--net", "--")


@pytest.fixture(scope="package")
def bundle(as_root: None) -> Iterator[Path]:
    """One archive, as it is carried off. It takes too much room to be kept twice."""
    with TemporaryDirectory(prefix="iecpod-e2e-elsewhere-") as directory:
        path = Path(directory, "k8s.tar")
        environ = {**os.environ, "IECPOD_STATE_DIR": str(Path(directory, "state"))}
        argv = [sys.executable, "-m", "iecpod", "bundle", "build", "--release", RELEASE, "--output", str(path)]
        subprocess.run(argv, env=environ, check=True)
        yield path


@pytest.fixture(scope="package")
def node(bundle: Path) -> Iterator[Iecpod]:
    """The node, with its software; the cache of its host was empty."""
    with TemporaryDirectory(prefix="iecpod-e2e-bundle-") as directory:
        root = Path(directory)
        write_descriptors(root / "lab")
        options = ("-b", f"file://{root}/lab", "-c", "embedded", "-s", "k8-bridge-iec-noha", "--bundle", str(bundle))
        with torn_down(Iecpod(root, LAB, SINGLE, {"IECPOD_CACHE_DIR": str(root / "cache")}, _ALONE)) as command:
            command.check("deploy", *options, "--bundle-via", "disk", "--until", "runtime")
            yield command
