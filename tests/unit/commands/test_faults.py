"""Runs that end anywhere: the next deploy ends where an undisturbed one does, and a teardown leaves nothing.

On a hypervisor in memory, so that every single step can be the last one; tests/e2e does some of it for real.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from iecpod.cli.main import main
from iecpod.commands.deploy import deploy
from iecpod.commands.teardown import teardown
from iecpod.design.owner import Owner
from iecpod.errors import HostError, HypervisorUnavailable, PodLocked, PreflightError
from iecpod.hypervisor_uri import EMBEDDED, SYSTEM
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.options.choices import ProviderName
from iecpod.pods.directory import NOTE, load_saved, make_pod_dir, pod_dir_of, remove_pod_dir, save_pod
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.pods.saved import SavedPod
from iecpod.providers.libvirt.objects import Kind, ObservedResource, Resource
from iecpod.providers.phase_names import PHASE_NAMES
from iecpod.reports.job_files import RunOutputs, saved_reports
from iecpod.reports.run_report import Report
from iecpod.wiring.pod_tools import PodAdapters
from tests import pods
from tests.fakes import FakeHost, FakeHypervisor, RecordingReporter
from tests.fakes.images import FakeImages
from tests.fakes.pod_tools import NODES, REF, FakeTools
from tests.pod_requests import saved_pod
from tests.pods import site
from tests.unit.command_line import layout_below, run
from tests.unit.commands.test_commands import layout, resolve, run_deploy, tools

__all__ = ["layout", "tools"]

#: Steps of a deploy that change something: define and start of 4 networks, a pool and 3 domains, and 2 volumes each.
DEPLOY_STEPS = 22
PHASES = (*PHASE_NAMES[ProviderName.LIBVIRT], *CLUSTER_PHASES)
#: Those of a teardown: 3 domains, 4 networks, a pool.
TEARDOWN_STEPS = 8
WHOLE = {
    *(f"local-virtual1-{name}" for name in (*NODES, "admin", "mgmt", "private", "public")),
    "iecpod-local-virtual1",
    *(f"iecpod-local-virtual1/{node}{suffix}" for node in NODES for suffix in (".qcow2", "-seed.iso")),
}
FOREIGN = "<domain type='qemu'><name>jenkins-slave01</name></domain>"


class Killed(BaseException):
    """As SIGKILL: it is not handled."""


class BrittleHypervisor(FakeHypervisor):
    """Its user ends at the change number `last`: before it is made, or when it has been made."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self.changes = 0
        self._counting = threading.Lock()
        self.last = 0
        self.is_made = False

    def ends_at(self, last: int, *, is_made: bool) -> None:
        self.changes, self.last, self.is_made = 0, last, is_made

    def define(self, resource: Resource) -> None:
        self._change(lambda: FakeHypervisor.define(self, resource))

    def create_volume(self, pool: str, xml: str) -> None:
        self._change(lambda: FakeHypervisor.create_volume(self, pool, xml))

    def upload_volume(self, pool: str, name: str, content: bytes) -> None:
        self._change(lambda: FakeHypervisor.upload_volume(self, pool, name, content))

    def start(self, kind: Kind, name: str) -> None:
        self._change(lambda: FakeHypervisor.start(self, kind, name))

    def remove(self, resource: ObservedResource) -> None:
        self._change(lambda: FakeHypervisor.remove(self, resource))

    def _change(self, change: Callable[[], None]) -> None:
        with self._counting:
            self.changes += 1
            number = self.changes
        if number == self.last and not self.is_made:
            raise Killed
        change()
        if number == self.last:
            raise Killed


class EndsAfter(RecordingReporter):
    """The run ends when the phase of that name is done."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self._phase = phase

    def phase_finished(self, phase: str, outcome: str, seconds: float) -> None:
        super().phase_finished(phase, outcome, seconds)
        if phase == self._phase:
            raise Killed


@pytest.fixture
def brittle(tools: FakeTools) -> BrittleHypervisor:
    made = BrittleHypervisor(tools.owner)
    made.add_foreign(Kind.DOMAIN, FOREIGN)
    tools.hypervisor, tools.fake_host = made, FakeHost(made)
    return made


def names_of(hypervisor: FakeHypervisor) -> set[str]:
    """Of what runs, or is a volume."""
    return {seen.name for seen in hypervisor.observe() if seen.active}


def outcomes_of(report: Report) -> dict[str, str]:
    return {phase.name: phase.outcome for phase in report.phases}


def end_a_deploy(layout: Layout, tools: FakeTools) -> None:
    with pytest.raises(Killed):
        deploy(resolve(layout), tools, lambda _report: None)


def check_nothing_is_left(tools: FakeTools) -> None:
    assert [seen.name for seen in tools.hypervisor.observe()] == ["jenkins-slave01"]
    assert not tools.pod_dir.exists() and not tools.fake_host.started


def test_the_steps_are_all_of_them(layout: Layout, tools: FakeTools, brittle: BrittleHypervisor) -> None:
    run_deploy(layout, tools)
    assert brittle.changes == DEPLOY_STEPS
    teardown(tools, site(EMBEDDED))
    assert brittle.changes == DEPLOY_STEPS + TEARDOWN_STEPS


@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("step", range(1, DEPLOY_STEPS + 1))
def test_a_deploy_that_ends_at_any_step_is_continued_and_torn_down(
    layout: Layout, tools: FakeTools, brittle: BrittleHypervisor, step: int, is_made: bool
) -> None:
    brittle.ends_at(step, is_made=is_made)
    end_a_deploy(layout, tools)
    teardown(tools, site(EMBEDDED))
    check_nothing_is_left(tools)
    assert teardown(tools, site(EMBEDDED)).names == ()

    brittle.ends_at(step, is_made=is_made)
    end_a_deploy(layout, tools)
    run_deploy(layout, tools)
    assert names_of(brittle) == WHOLE
    assert set(outcomes_of(run_deploy(layout, tools)).values()) == {"in place"}


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "helm"])  # which the release has not
def test_a_deploy_that_ends_after_a_phase_repeats_none_before_it(
    layout: Layout, tools: FakeTools, brittle: BrittleHypervisor, phase: str
) -> None:
    tools.reporter = EndsAfter(phase)
    end_a_deploy(layout, tools)
    tools.reporter = RecordingReporter()
    report = run_deploy(layout, tools)
    made_by_a_deploy = ("networks", "storage", "domains", "kubeconfig", "cni")
    still_to_make = {name for name in made_by_a_deploy if PHASES.index(name) > PHASES.index(phase)}
    assert outcomes_of(report) == {name: "done" if name in still_to_make else "in place" for name in PHASES}
    assert report.outcome == ("done" if still_to_make else "in place")
    teardown(tools, site(EMBEDDED))
    check_nothing_is_left(tools)


@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("step", range(1, TEARDOWN_STEPS + 1))
def test_a_teardown_that_ends_at_any_step_is_continued(
    layout: Layout, tools: FakeTools, brittle: BrittleHypervisor, step: int, is_made: bool
) -> None:
    run_deploy(layout, tools)
    brittle.ends_at(step, is_made=is_made)
    with pytest.raises(Killed):
        teardown(tools, site(EMBEDDED))
    ours = [seen for seen in brittle.observe() if "local-virtual1" in seen.name and seen.kind is not Kind.VOLUME]
    left = {f"{seen.kind.value} {seen.name}" for seen in ours}
    # Domains are removed at once: those beside the one at which it ended may be gone, too.
    assert len(left) <= TEARDOWN_STEPS - step + (not is_made)
    assert set(teardown(tools, site(EMBEDDED)).names) == left
    check_nothing_is_left(tools)


FOREIGN_OF_OUR_NAMES = {
    Kind.DOMAIN: ("local-virtual1-iec02", "<domain type='qemu'><name>local-virtual1-iec02</name></domain>"),
    Kind.NETWORK: ("local-virtual1-mgmt", "<network><name>local-virtual1-mgmt</name></network>"),
    Kind.POOL: (
        "iecpod-local-virtual1",
        "<pool type='dir'><name>iecpod-local-virtual1</name><target><path>/srv/images</path></target></pool>",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN_OF_OUR_NAMES)
def test_a_foreign_object_of_our_name_is_refused_and_stays(layout: Layout, tools: FakeTools, kind: Kind) -> None:
    """A volume of our name can only be in a pool of our name: what is in a foreign one is not looked at."""
    name, xml = FOREIGN_OF_OUR_NAMES[kind]
    tools.hypervisor.add_foreign(kind, xml)
    before = tools.hypervisor.observe()
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout), tools, lambda _report: None)
    assert int(caught.value.exit_code) == 4
    (problem,) = caught.value.problems
    assert str(problem) == (
        f"{kind.value} {name}: error: the hypervisor has a {kind.value} {name!r} that iecpod did not make "
        "[name-conflict]\n    -> rename or remove it, or use another hypervisor (-c); iecpod touches only what it made "
        "itself"
    )
    assert tools.hypervisor.observe() == before and not tools.pod_dir.exists()
    assert teardown(tools, site("test:///default")).names == ()
    assert tools.hypervisor.observe() == before


def test_a_hypervisor_that_goes_away_in_a_phase_is_a_failed_phase(layout: Layout, tools: FakeTools) -> None:
    """Code 4 would say that nothing was changed."""

    def vanish(kind: Kind, name: str) -> None:
        raise HypervisorUnavailable("libvirt could not start it: Broken pipe", "is libvirtd running?")

    tools.hypervisor.start = vanish  # type: ignore[method-assign]
    with pytest.raises(HypervisorUnavailable) as caught:
        deploy(resolve(layout), tools, lambda _report: None)
    assert int(caught.value.exit_code) == 1
    assert caught.value.remedy.startswith("is libvirtd running?; resume with `iecpod deploy -l local -p virtual1")


def no_room(*_arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_too_full_for_the_report_hides_no_error(layout: Layout, tools: FakeTools) -> None:
    def fail(kind: Kind, name: str) -> None:
        raise HostError("libvirt could not start it")

    tools.hypervisor.start = fail  # type: ignore[method-assign]
    with pytest.raises(HostError, match="could not start it"):
        deploy(resolve(layout), tools, no_room)
    assert tools.reporter.lines[-1] == "warning: the report cannot be written: No space left on device"


def test_a_disk_too_full_for_a_job_s_report_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iecpod.reports.job_files.replace_file", no_room)
    outputs = RunOutputs(report=tmp_path / "report.json")
    with pytest.raises(HostError, match="could not start it"), saved_reports(outputs, REF, "run"):
        raise HostError("libvirt could not start it")


def test_a_deploy_that_cannot_note_anything_leaves_nothing(layout: Layout, tools: FakeTools) -> None:
    def fail(pod: SavedPod) -> None:
        tools.pod_dir.mkdir()
        raise HostError("no room")

    tools.save = fail  # type: ignore[method-assign]
    with pytest.raises(HostError, match="no room"):
        deploy(resolve(layout), tools, lambda _report: None)
    assert not tools.pod_dir.exists() and not tools.fake_host.started


def test_a_full_disk_is_reported_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is that cannot be written; nothing of it is taken for a bug, and the log is silent about itself."""
    for name in ("STATE", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"IECPOD_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setattr("iecpod.wiring.pods.Pods.teardown", no_room)
    assert main(["teardown", "-l", "local", "-p", "virtual1"]) == 1
    assert logging.raiseExceptions is False


def test_a_damaged_image_below_nodes_that_exist_is_reported(
    layout: Layout, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_deploy(layout, tools)
    monkeypatch.setattr(FakeImages, "find", lambda _images, _arch: None)
    assert outcomes_of(run_deploy(layout, tools))["image"] == "in place"
    (warning,) = (line for line in tools.reporter.lines if line.startswith("warning: "))
    assert warning.startswith("warning: the x86_64 image that the disks of the nodes rest on is damaged or gone from")
    assert "`iecpod redeploy -l local -p virtual1" in warning


def test_the_note_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teardown that ends while it removes the directory must know, when it is repeated, where the POD was."""
    layout, ref = layout_below(tmp_path), PodRef("lab", "pod")
    pod_dir = pod_dir_of(layout, ref)
    (pod_dir / "keys").mkdir(parents=True)
    (pod_dir / "keys" / "id").touch()
    (pod_dir / "report.json").touch()
    save_pod(pod_dir, saved_pod(uri=EMBEDDED), pods.INSTALLATION)
    left: list[set[str]] = []
    unlink = Path.unlink

    def watch(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        left.append({entry.name for entry in pod_dir.iterdir()})

    monkeypatch.setattr(Path, "unlink", watch)
    remove_pod_dir(layout, ref)
    assert left and all(NOTE in names for names in left)
    assert not pod_dir.parent.exists()


DAMAGED = [
    (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
    (b"[1", "not JSON: Expecting ',' delimiter: line 1 column 3 (char 2)"),
    (b"\xff", "not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    (b"null", "an object is expected, not null"),
    (b"[]", "an object is expected, not a list"),
    (b"5", "an object is expected, not an integer"),
    (b"[" * 1000, "nested deeper than 64 levels"),
    (b'{"uri": 5}', "uri: a text is expected, not an integer"),
    (b'{"vcpus": "2"}', "vcpus: an integer is expected, not a text"),
    (b'{"virt_type": "xen"}', "'xen' is not a valid VirtType"),
    (b'{"bundle_via": "fax"}', "'fax' is not a valid BundleVia"),
    (b'{"supply": []}', "supply: an object is expected, not a list"),
    (b'{"supply": {"no_proxy": "lab"}}', "supply.no_proxy: a list is expected, not a text"),
    (b'{"supply": {"repositories": {"a": 1}}}', "supply.repositories.a: a text is expected, not an integer"),
]


@pytest.mark.parametrize(("content", "fault"), DAMAGED)
def test_a_damaged_note_is_reported(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / NOTE).write_bytes(content)
    with pytest.raises(HostError) as caught:
        load_saved(tmp_path)
    assert caught.value.cause == f"{tmp_path / NOTE} does not say what the POD was deployed with: {fault}"
    assert "remove that file" in caught.value.remedy


def test_a_note_that_is_none_is_reported(tmp_path: Path) -> None:
    (tmp_path / NOTE).mkdir()
    with pytest.raises(HostError) as caught:
        load_saved(tmp_path)
    assert caught.value.cause == f"{tmp_path / NOTE} cannot be read: Is a directory"


@pytest.mark.parametrize("note", [b"[]", b"5", b"{", None])
def test_a_damaged_note_keeps_no_other_pod_from_being_seen(tmp_path: Path, note: bytes | None) -> None:
    """None is a directory in its place."""
    layout = layout_below(tmp_path)
    pods_dir = layout.state_dir / "pods" / "arm"
    for name in ("virtual1", "virtual2"):
        make_pod_dir(layout, PodRef("arm", name))
        save_pod(pods_dir / name, saved_pod(uri=SYSTEM), pods.INSTALLATION)
        os.utime(pods_dir / name / NOTE, (0, 0))
    damaged = pods_dir / "virtual1" / NOTE
    damaged.unlink()
    if note is None:
        damaged.mkdir()
    else:
        damaged.write_bytes(note)
    listed = {pod["pod"]: pod for pod in json.loads(run(tmp_path, "labs", "-o", "json").stdout) if pod["lab"] == "arm"}
    assert str(damaged) in listed["virtual1"]["fault"] and listed["virtual1"]["deployed"] is True
    assert (listed["virtual2"]["fault"], listed["virtual2"]["deployed"]) == ("", True)
    text = run(tmp_path, "labs").stdout
    assert "unknown" in text and f"arm/virtual1: {damaged} " in text
    gathered = run(tmp_path, "gc", "--older-than", "1000w", "--dry-run")
    assert gathered.exit_code == 0, gathered.output
    lines = {line.split("POD ")[1].split()[0]: line for line in gathered.stdout.splitlines() if "POD arm/" in line}
    assert lines["arm/virtual1"].startswith("kept") and str(damaged) in lines["arm/virtual1"]
    assert lines["arm/virtual2"].startswith("would remove")


def test_a_note_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / NOTE).mkdir()
    with pytest.raises(HostError) as caught:
        save_pod(tmp_path, SavedPod(), pods.INSTALLATION)
    assert caught.value.cause == f"{tmp_path / NOTE} cannot be written: Is a directory"


def test_two_runs_share_a_lock(tmp_path: Path) -> None:
    layout = layout_below(tmp_path)
    one, other = (PodAdapters(layout, REF, RecordingReporter(), "") for _ in range(2))
    with one.state.lock(), pytest.raises(PodLocked), other.state.lock():
        pass
    notes = [json.loads(path.read_text()) for path in layout.runtime_dir.rglob("*.holder")]
    assert notes == []
