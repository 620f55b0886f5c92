"""`iecpod gc`: what it takes, what it keeps, and what it says."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iecpod.adapters.pod_lock import pod_lock
from iecpod.cache.artifacts import Cache
from iecpod.cache.work_directory import find_abandoned, remove_abandoned
from iecpod.commands.gc import Gathered, Leftover, collect_garbage, examine_pod
from iecpod.errors import CleanupError, HostError, HypervisorUnavailable, PodLocked
from iecpod.hypervisor_uri import EMBEDDED, SYSTEM
from iecpod.images.build.go.work_directory import held_for_build
from iecpod.layout import Layout
from iecpod.locks import claimed
from iecpod.model import PodRef
from iecpod.options.choices import ProviderName
from iecpod.pods.directory import NOTE, make_pod_dir, save_pod
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.xml import resource_of
from tests import pods
from tests.fakes import FakeHypervisor, RecordingReporter
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import saved_pod
from tests.pods import site
from tests.unit.command_line import layout_below, run
from tests.unit.commands.test_commands import run_deploy
from tests.unit.providers.libvirt.libvirt_of_tests import TEST_URI, put_in_place, take_away

DAY = 86_400.0
UNREADABLE = "its report cannot be read, so it is unknown how its deploy ended ({}; --all takes it, too)"
NOW = 1_000_000_000.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


@pytest.fixture
def tools(tmp_path: Path, layout: Layout) -> FakeTools:
    tools = FakeTools(tmp_path, layout)
    run_deploy(layout, tools)
    save_pod(tools.pod_dir, saved_pod(uri=EMBEDDED), pods.INSTALLATION)
    return tools


def leftover(name: str, made_at: float | None, gone: list[str], in_use: str = "") -> Leftover:
    return Leftover(name=name, made_at=made_at, in_use=in_use, remove=lambda: gone.append(name))


def actions(gathered: Gathered) -> dict[str, tuple[str, str]]:
    return {decision.name: (decision.action, decision.reason) for decision in gathered.decisions}


def test_what_is_old_goes_and_what_is_young_or_in_use_stays() -> None:
    gone: list[str] = []
    leftovers = [
        leftover("old", NOW - 3 * DAY, gone),
        leftover("at the limit", NOW - 2 * DAY, gone),
        leftover("of tomorrow", NOW + DAY, gone),
        leftover("timeless", None, gone),
        leftover("used", NOW - 9 * DAY, gone, "a run is at work"),
    ]
    dry = collect_garbage(leftovers, now=NOW, older_than_seconds=2 * DAY, dry_run=True)
    assert gone == [] and actions(dry)["old"] == ("would remove", "")
    done = collect_garbage(leftovers, now=NOW, older_than_seconds=2 * DAY, dry_run=False)
    assert gone == ["old", "timeless"]
    assert actions(done) == {
        "old": ("removed", ""),
        "at the limit": ("kept", "not old enough"),
        "of tomorrow": ("kept", "not old enough"),
        "timeless": ("removed", ""),
        "used": ("kept", "a run is at work"),
    }
    assert [decision.age for decision in done.decisions] == ["3d", "2d", "0s", "unknown", "9d"]
    done.check()


def test_what_cannot_be_removed_keeps_no_other() -> None:
    def fail() -> None:
        raise HostError("the disk is read-only")

    def locked() -> None:
        raise PodLocked("process 7 is at work")

    gone: list[str] = []
    stuck = Leftover(name="POD a/b", made_at=None, in_use="", remove=fail)
    started = Leftover(name="POD c/d", made_at=None, in_use="", remove=locked)
    gathered = collect_garbage([stuck, started, leftover("x", 0, gone)], now=NOW, older_than_seconds=1, dry_run=False)
    assert gone == ["x"] and actions(gathered)["POD c/d"] == ("kept", "process 7 is at work")
    with pytest.raises(CleanupError) as caught:
        gathered.check()
    assert caught.value.cause == "gc could not remove: POD a/b (the disk is read-only)"
    assert caught.value.exit_code == 7


def set_age(tools: FakeTools, seconds: float) -> None:
    for path in (tools.pod_dir / NOTE, tools.pod_dir):
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_pod_is_as_old_as_the_youngest_thing_of_it(tools: FakeTools) -> None:
    set_age(tools, 9 * DAY)
    found = examine_pod(tools, site(EMBEDDED), everything=False)
    assert found.made_at is not None and abs(found.made_at - time.time()) < 120  # its objects were made just now

    def refuse() -> FakeHypervisor:
        raise HypervisorUnavailable("libvirtd is dead")

    tools.fake_host.connect = refuse  # type: ignore[method-assign]
    dead = examine_pod(tools, site(EMBEDDED), everything=False)
    assert dead.made_at is not None and abs(dead.made_at - time.time() + 9 * DAY) < 120


def test_a_pod_whose_age_is_unknown_stays(tools: FakeTools) -> None:
    def refuse() -> FakeHypervisor:
        raise HypervisorUnavailable("libvirtd is dead")

    tools.fake_host.connect = refuse  # type: ignore[method-assign]
    shutil.rmtree(tools.pod_dir)
    kept = examine_pod(tools, site(EMBEDDED), everything=False)
    assert (kept.made_at, kept.in_use) == (None, "its age cannot be found out (--all takes it, too)")
    assert examine_pod(tools, site(EMBEDDED), everything=True).in_use == ""


@pytest.mark.parametrize(
    ("report", "kept"),
    [
        (None, ""),
        ("", UNREADABLE.format("not JSON: Expecting value: line 1 column 1 (char 0)")),
        (
            "{",
            UNREADABLE.format("not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ),
        ("[]", UNREADABLE.format("an object is expected, not a list")),
        ('{"outcome": 5}', UNREADABLE.format("outcome: a text is expected, not an integer")),
        (json.dumps({"outcome": "failed"}), ""),
        (json.dumps({"outcome": "done"}), "its deploy went well (--all takes it, too)"),
        (json.dumps({"outcome": "in place"}), "its deploy went well (--all takes it, too)"),
    ],
)
def test_a_pod_whose_deploy_went_well_stays(tools: FakeTools, report: str | None, kept: str) -> None:
    if report is not None:
        (tools.pod_dir / "report.json").write_text(report)
    assert examine_pod(tools, site(EMBEDDED), everything=False).in_use == kept
    assert examine_pod(tools, site(EMBEDDED), everything=True).in_use == ""


def test_a_report_that_others_may_have_written_keeps_the_pod(tools: FakeTools) -> None:
    (tools.pod_dir / "report.json").write_text(json.dumps({"outcome": "failed"}))
    (tools.pod_dir / "report.json").chmod(0o666)
    assert "others may change it" in examine_pod(tools, site(EMBEDDED), everything=False).in_use


@pytest.mark.parametrize("everything", [False, True])
def test_a_pod_that_is_deployed_between_look_and_removal_stays(tools: FakeTools, everything: bool) -> None:
    """gc looks at all PODs before it removes the first, and no run holds a lock for so long."""
    set_age(tools, 9 * DAY)
    found = examine_pod(tools, site(EMBEDDED), everything=everything)
    assert found.in_use == ""
    save_pod(tools.pod_dir, saved_pod(uri=EMBEDDED), pods.INSTALLATION)
    os.utime(tools.pod_dir / NOTE, (NOW * 2, NOW * 2))
    (tools.pod_dir / "report.json").write_text(json.dumps({"outcome": "done"}))
    gathered = collect_garbage([found], now=time.time() + 9 * DAY, older_than_seconds=DAY, dry_run=False)
    assert actions(gathered) == {f"POD {REF}": ("kept", "a run was at work on it meanwhile")}
    assert tools.pod_dir.exists() and tools.hypervisor.observe() != ()


def test_a_pod_that_a_run_holds_at_removal_stays(tools: FakeTools) -> None:
    found = examine_pod(tools, site(EMBEDDED), everything=False)

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        raise PodLocked("process 7 is at work")
        yield

    tools.lock = held  # type: ignore[method-assign]
    gathered = collect_garbage([found], now=time.time() + 9 * DAY, older_than_seconds=DAY, dry_run=False)
    assert actions(gathered) == {f"POD {REF}": ("kept", "process 7 is at work")}


def test_a_pod_at_work_stays_even_with_all(tools: FakeTools) -> None:
    @contextlib.contextmanager
    def held() -> Iterator[None]:
        raise PodLocked("process 7 is at work")
        yield

    tools.lock = held  # type: ignore[method-assign]
    assert examine_pod(tools, site(EMBEDDED), everything=True).in_use == "process 7 is at work"


def test_an_aborted_pod_is_torn_down_and_nothing_else(tools: FakeTools) -> None:
    tools.hypervisor.add_foreign(Kind.DOMAIN, "<domain type='qemu'><name>jenkins-slave01</name></domain>")
    found = examine_pod(tools, site(EMBEDDED), everything=False)
    gathered = collect_garbage([found], now=time.time() + 3 * DAY, older_than_seconds=2 * DAY, dry_run=False)
    assert actions(gathered) == {f"POD {REF}": ("removed", "")}
    assert [seen.name for seen in tools.hypervisor.observe()] == ["jenkins-slave01"]
    assert not tools.pod_dir.exists()


def test_work_directories_of_the_dead_are_found(tmp_path: Path) -> None:
    assert find_abandoned(tmp_path) == []
    dead, alive = tmp_path / "work" / "image-dead", tmp_path / "work" / "image-alive"
    for stage in (dead, alive):
        stage.mkdir(parents=True)
        (stage / "disk.raw").touch()
    with claimed(tmp_path / "work" / "image-alive.lock"):
        assert find_abandoned(tmp_path) == [dead]
        remove_abandoned(alive)
        remove_abandoned(dead)
        remove_abandoned(dead)
    assert {path.name for path in (tmp_path / "work").iterdir()} >= {"image-alive"}
    assert (alive / "disk.raw").exists() and not dead.exists()


def test_the_verb(tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit that nothing of this machine is older than, where it looks beyond the directories of the test."""
    stage = layout.cache_dir / "work" / "image-dead"
    stage.mkdir(parents=True)
    os.utime(stage, (0, 0))
    aborted = layout.state_dir / "pods" / "arm" / "virtual1"
    aborted.mkdir(parents=True)
    take_away(monkeypatch)
    save_pod(aborted, saved_pod(uri=SYSTEM), pods.INSTALLATION)
    os.utime(aborted / NOTE, (0, 0))
    dry = run(tmp_path, "gc", "--older-than", "1000w", "--dry-run", "-c", "embedded")
    assert dry.exit_code == 0 and f"would remove  directory {stage}" in dry.stdout
    assert "arm/virtual1" not in dry.stdout, "it is on another hypervisor"
    everywhere = run(tmp_path, "gc", "--older-than", "1000w", "--dry-run")
    assert str(stage) in everywhere.stdout and "would remove  POD arm/virtual1" in everywhere.stdout
    assert stage.exists() and aborted.exists()
    with pod_lock(layout, PodRef("arm", "virtual1"), wait_seconds=0):
        locked = run(tmp_path, "gc", "--older-than", "1000w", "--dry-run")
    (line,) = (line for line in locked.stdout.splitlines() if "POD arm/virtual1" in line)
    assert line.startswith("kept") and f"process {os.getpid()}" in line


def test_what_a_build_of_go_modules_left(tmp_path: Path, layout: Layout) -> None:
    """The limit is as in `test_the_verb`."""
    work = layout.cache_dir / "go-work"
    work.mkdir(parents=True, mode=0o700)
    os.utime(work, (0, 0))
    with held_for_build(Cache(layout.cache_dir, RecordingReporter())):
        busy = run(tmp_path, "gc", "--older-than", "1000w", "-c", "embedded")
    (line,) = (line for line in busy.stdout.splitlines() if f"directory {work}" in line)
    assert line.startswith("kept") and line.endswith("a build is at work there")
    dry = run(tmp_path, "gc", "--older-than", "1000w", "--dry-run")
    assert f"would remove  directory {work}" in dry.stdout and work.is_dir()
    done = run(tmp_path, "gc", "--older-than", "1000w")
    assert f"removed  directory {work}" in done.stdout and not work.exists()


def test_descriptors_of_bootstrap_go_with_their_pod(tmp_path: Path, layout: Layout) -> None:
    """Also without one: a bootstrap or a teardown may have been killed. The limit is as in `test_the_verb`."""
    made = {name: layout.state_dir / "described/nodes" / name for name in ("alone", "edge", "young")}
    for path in made.values():
        (path / "labs").mkdir(parents=True)
        os.utime(path, (0, 0))
    os.utime(made["young"])
    make_pod_dir(layout, PodRef("nodes", "edge"))
    save_pod(layout.state_dir / "pods/nodes/edge", saved_pod(provider=ProviderName.EXISTING), pods.INSTALLATION)
    os.utime(layout.state_dir / "pods/nodes/edge" / NOTE, (0, 0))
    dry = run(tmp_path, "gc", "--dry-run", "--older-than", "1000w")
    assert f"would remove  descriptors {made['alone']}" in dry.output, dry.output
    assert "would remove  POD nodes/edge" in dry.output and str(made["edge"]) not in dry.output
    assert all(path.is_dir() for path in made.values())
    done = run(tmp_path, "gc", "--older-than", "1000w")
    assert done.exit_code == 0, done.output
    assert [name for name, path in made.items() if path.is_dir()] == ["young"]


def test_pods_of_a_hypervisor_that_nobody_noted(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = _network_of(PodRef("xx", "xx")).replace("lab='xx' pod='xx'", "lab='..' pod='..'")
    put_in_place(monkeypatch, f"<node>{_network_of(pods.REF)}{forged}</node>", tmp_path)
    uri = TEST_URI
    kept = run(tmp_path, "gc", "--older-than", "2d", "-c", uri)
    assert kept.exit_code == 0, kept.output
    (line,) = (line for line in kept.stdout.splitlines() if "POD" in line)
    assert line.startswith("kept  POD unit/pod1") and "not deployed from here" in line
    assert "removed  POD unit/pod1" in run(tmp_path, "gc", "--older-than", "2d", "-c", uri, "--all").stdout
    aborted = layout.state_dir / "pods" / "arm" / "virtual1"
    aborted.mkdir(parents=True)
    save_pod(aborted, saved_pod(uri=SYSTEM), pods.INSTALLATION)
    os.utime(aborted / NOTE, (0, 0))
    take_away(monkeypatch)
    failed = run(tmp_path, "gc", "--older-than", "2d", "-c", SYSTEM)
    assert isinstance(failed.exception, HypervisorUnavailable)


def _network_of(ref: PodRef) -> str:
    """For libvirt's test driver."""
    network = dataclasses.replace(pods.private_network(ref), bridge=f"br-{ref.lab}")
    return resource_of(network, dataclasses.replace(pods.STAMP, ref=ref)).xml


@pytest.mark.parametrize("arguments", [(), ("--older-than", "soon"), ("--older-than", "-2d")])
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, "gc", *arguments).exit_code == 2
