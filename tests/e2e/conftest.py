"""What all end-to-end tests share. Each directory has the fixtures of its POD, which deploy it and tear it down."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.progress.reporters import LogReporter
from tests.e2e.command import CACHE_DIR, RELEASE, REUSED_ROOT, Iecpod, deploy_in_phase
from tests.e2e.teardown import HostSnapshot, check_teardown
from tests.e2e.time_budget import USUAL_SECONDS, TimeBudget, place_of
from tests.e2e.verified_pod import remove_checkpoints

__all__ = ["CACHE_DIR", "RELEASE", "HostSnapshot", "Iecpod", "check_teardown", "deploy_in_phase"]

_HERE = Path(__file__).parent
_BUDGET = TimeBudget.of_environment()


def _file_of(item: pytest.Item) -> str:
    """Seen from this directory; empty for tests from elsewhere that the table does not list."""
    file = Path(os.path.relpath(item.path, _HERE)).as_posix()
    return file if item.path.is_relative_to(_HERE) or file in dict(USUAL_SECONDS) else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of importance; all files of a POD run together, however they were selected."""
    items.sort(key=lambda item: place_of(_file_of(item)))


class _Budgeted:
    """A plugin, since it is about tests from elsewhere, too: a conftest's hooks see those below its directory."""

    @staticmethod
    def pytest_runtest_setup(item: pytest.Item) -> None:
        if refusal := _BUDGET.refusal(_file_of(item), time.monotonic()):
            pytest.skip(refusal)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Budgeted())


@pytest.fixture(scope="session")
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("the embedded hypervisor needs root")


@pytest.fixture(scope="session")
def cache() -> Cache:
    """The machine's: what was made once is there for every run."""
    return Cache(CACHE_DIR, LogReporter())


@pytest.fixture(scope="session")
def shared_lab(as_root: None) -> Iterator[Iecpod]:
    """For directories that begin with a verified local/virtual1: one installation, so that a checkpoint serves all."""
    if REUSED_ROOT:
        yield Iecpod(Path(REUSED_ROOT))
        return
    with tempfile.TemporaryDirectory(prefix="iecpod-e2e-shared-") as directory:
        command = Iecpod(Path(directory))
        yield command
        remove_checkpoints(command, but=set())


@pytest.fixture(scope="session")
def baked(as_root: None) -> None:
    """All programs are compiled, those of the conformance tests, too: beside guests that takes four times as long."""
    _bake("--tests")


@pytest.fixture(scope="session")
def base_image(as_root: None) -> None:
    """As `baked`, without the conformance tests, for those that do not run them."""
    _bake()


def _bake(*options: str) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="iecpod-e2e-bake-") as directory:
        argv = [sys.executable, "-m", "iecpod", "image", "bake", "--release", RELEASE, *options]
        subprocess.run(argv, env=Iecpod(Path(directory)).environ, stdin=subprocess.DEVNULL, check=True)
    _BUDGET.leave_out(time.monotonic() - started)
