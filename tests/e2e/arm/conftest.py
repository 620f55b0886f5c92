"""arm/virtual2: machines of another architecture than most hosts', emulated there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from iecpod.images.build.rootfs import runs_here
from iecpod.model import Arch
from tests.e2e.command import RELEASE, Iecpod
from tests.e2e.teardown import torn_down

_POD = ("arm", "virtual2")
#: What the lab's own hypervisor would decide: where, from what, and how large on a small machine.
_OPTIONS = (
    *("-c", "embedded", "--release", RELEASE, "-s", "k8-kube-router-iec-noha", "--virt-type", "qemu"),
    *("--vcpus", "2", "--memory", "2G", "--bundle-via", "image"),
)


@pytest.fixture(scope="package")
def guests(as_root: None) -> Iterator[Iecpod]:
    """The machines, reachable; the report of the deploy is in guests.json."""
    if not runs_here(Arch.AARCH64):
        pytest.skip("this kernel runs no programs of aarch64, with which the image is made: bootstrap.sh says why")
    with TemporaryDirectory(prefix="iecpod-e2e-arm-") as root, torn_down(Iecpod(Path(root), *_POD)) as command:
        report = ("--report", str(command.root / "guests.json"))
        command.check("deploy", *_OPTIONS, "-ee", *report, timeout=10_000)  # all is compiled for aarch64 first
        yield command


@pytest.fixture(scope="package")
def pod(guests: Iecpod) -> Iecpod:
    """The POD with its cluster; the report of the deploy is in report.json."""
    guests.check("deploy", "--report", str(guests.root / "report.json"), timeout=6000)
    return guests
