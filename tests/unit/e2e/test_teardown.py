"""The end of an end-to-end POD fails where anything is left; here with a teardown that leaves it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.command import Iecpod
from tests.e2e.teardown import HostSnapshot, torn_down

NOTHING = HostSnapshot(frozenset(), frozenset(), frozenset(), frozenset())


@dataclass(frozen=True)
class Deployed(Iecpod):
    """A POD of files, whose teardown reports its domain, removes the POD's directory, and then does `fault`."""

    fault: Callable[[Deployed], None] = lambda _: None
    reported: str = "removed domain local-virtual1-iec01\n"

    def deploy(self) -> None:
        for path in (
            self.pod_dir / "libvirt/etc/qemu/local-virtual1-iec01.xml",
            self.root / "state/installation",
            self.root / "state/log/iecpod.log",
            self.cache_dir / "image",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def check(self, verb: str, *arguments: str, timeout: float = 0.0) -> str:
        assert (verb, arguments) == ("teardown", ())
        shutil.rmtree(self.pod_dir)
        self.fault(self)
        return self.reported


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    monkeypatch.setattr(HostSnapshot, "take", lambda: NOTHING)
    return Deployed(tmp_path, settings={"IECPOD_CACHE_DIR": str(tmp_path / "cache")})


def test_a_teardown_that_leaves_nothing_passes(deployed: Deployed) -> None:
    with torn_down(deployed) as command:
        assert command is deployed
        deployed.deploy()


def test_a_pod_that_was_not_deployed_needs_no_teardown(deployed: Deployed) -> None:
    with torn_down(deployed):
        assert not deployed.pod_dir.exists()


@pytest.mark.parametrize(
    "fault",
    [
        lambda pod: pod.pod_dir.mkdir(),
        lambda pod: (pod.root / "state/left").touch(),
        lambda pod: (pod.root / "state/installation").unlink(),
        lambda pod: (pod.cache_dir / "image").unlink(),
    ],
    ids=["directory", "state", "installation", "cache"],
)
def test_files_that_are_left_or_gone(deployed: Deployed, fault: Callable[[Deployed], None]) -> None:
    faulty = dataclasses.replace(deployed, fault=fault)
    with pytest.raises(AssertionError), torn_down(faulty):
        faulty.deploy()


def test_a_domain_that_is_not_reported(deployed: Deployed) -> None:
    silent = dataclasses.replace(deployed, reported="removed network local-virtual1-mgmt\n")
    with pytest.raises(AssertionError), torn_down(silent):
        silent.deploy()


@pytest.mark.parametrize("deploys", [True, False])
def test_what_is_left_on_the_host(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, deploys: bool) -> None:
    with pytest.raises(AssertionError), torn_down(deployed):
        if deploys:
            deployed.deploy()
        left = dataclasses.replace(NOTHING, links=frozenset({"vnet0"}))
        monkeypatch.setattr(HostSnapshot, "take", lambda: left)
