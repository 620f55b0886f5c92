"""local/virtual1, deployed once for all files of this directory, as far as the selected tests need it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.command import REUSED_ROOT, Iecpod, kill_deploy_in_phase
from tests.e2e.teardown import torn_down

_FILES = (("--report", "report.json"), ("--junit", "junit.xml"), ("--events", "events"))


@pytest.fixture(scope="package")
def iecpod(as_root: None) -> Iterator[Iecpod]:
    if REUSED_ROOT:
        yield Iecpod(Path(REUSED_ROOT))
        return
    with TemporaryDirectory(prefix="iecpod-e2e-") as root:
        with torn_down(Iecpod(Path(root))) as command:
            yield command
        assert command.check("teardown") == "nothing to remove\n"
        assert "absent" in command.check("status")


@pytest.fixture(scope="package")
def killed_on_the_way(request: pytest.FixtureRequest) -> bool:
    """Whether tests are selected that are about it; otherwise, the deploy is not disturbed."""
    return any(item.get_closest_marker("killed_deploy") for item in request.session.items)


@pytest.fixture(scope="package")
def guests(iecpod: Iecpod, baked: None, killed_on_the_way: bool) -> Iecpod:
    """The machines, reachable; the report of the deploy is in guests.json."""
    if REUSED_ROOT:
        return iecpod
    if killed_on_the_way:
        kill_deploy_in_phase(iecpod, "reachable", 5.0)
    iecpod.check("deploy", "--until", "reachable", "--report", str(iecpod.root / "guests.json"))
    return iecpod


@pytest.fixture(scope="package")
def pod(guests: Iecpod, killed_on_the_way: bool) -> Iecpod:
    """The POD with its cluster; what the deploy wrote for jobs is in report.json, junit.xml and events."""
    if REUSED_ROOT:
        return guests
    if killed_on_the_way:
        kill_deploy_in_phase(guests, "control-plane", 20.0)
    guests.check("deploy", *(argument for option, name in _FILES for argument in (option, str(guests.root / name))))
    return guests


@pytest.fixture(scope="package")
def logs_archive(pod: Iecpod, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `iecpod logs` makes of the POD while it is up."""
    path = tmp_path_factory.mktemp("logs") / "pod.tar.gz"
    assert pod.check("logs", str(path)) == f"{path}\n"
    return path
