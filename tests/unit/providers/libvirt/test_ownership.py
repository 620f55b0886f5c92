"""Whose objects are: metadata alone makes nothing ours, and what an earlier version marked stays ours."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import uuid
from pathlib import Path

import pytest

from iecpod.commands.redeploy import redeploy
from iecpod.commands.teardown import teardown
from iecpod.design.changes import Action
from iecpod.design.owner import Owner
from iecpod.errors import CleanupError, HostError, PreflightError
from iecpod.hypervisor_uri import EMBEDDED, SYSTEM, HypervisorUri
from iecpod.layout import Layout
from iecpod.pods.directory import NOTE, is_of_earlier_version, load_saved, save_pod
from iecpod.pods.installation import ensure_installation, find_installation
from iecpod.pods.saved import SavedPod
from iecpod.providers.libvirt.connection.observed import parse_domain, parse_network
from iecpod.providers.libvirt.embedded.namespaces import NamespaceMark
from iecpod.providers.libvirt.embedded.stale_hypervisors import Orphan
from iecpod.providers.libvirt.objects import Kind, ObservedResource
from iecpod.providers.libvirt.ownership import find_foreign, is_owned
from iecpod.providers.libvirt.plan.compare import make_plan
from iecpod.providers.libvirt.xml import resource_of
from iecpod.wiring.pod_tools import PodAdapters
from tests import pods
from tests.fakes import FakeHost, FakeHypervisor, RecordingReporter
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import saved_pod
from tests.pods import site
from tests.unit.command_line import layout_below, run
from tests.unit.commands.test_commands import layout, resolve, run_deploy, tools
from tests.unit.providers.libvirt.libvirt_of_tests import TEST_URI, put_in_place

__all__ = ["layout", "tools"]

RECORDED = Path(__file__).parents[2] / "recorded"
OTHER = "5c1c2a4e-3f0e-4a57-8c8c-0a4d2f6b9b02"
FOREIGN_UUID = "0b7bbf1c-0000-4000-8000-000000000000"


def seen_domain() -> ObservedResource:
    return parse_domain(resource_of(pods.domain(), pods.STAMP).xml, active=True)


def why_foreign(seen: ObservedResource, owner: Owner) -> str:
    foreign = find_foreign(seen, owner)
    assert foreign is not None and foreign.remedy
    return foreign.why


def test_what_this_installation_made_is_ours() -> None:
    assert is_owned(seen_domain(), pods.owner())


@pytest.mark.parametrize("change", [{"uuid": FOREIGN_UUID}, {"name": "unit-pod1-iec01-clone"}])
def test_a_copy_is_not_ours_whatever_its_metadata_say(change: dict[str, str]) -> None:
    copy = dataclasses.replace(seen_domain(), **change)  # type: ignore[arg-type]
    assert why_foreign(copy, pods.owner()).startswith("bears the metadata of this POD, but not the name and UUID")


def test_a_copy_may_not_compute_its_way_in() -> None:
    """Name and UUID fit each other, but the name is none of the POD's."""
    name = "jenkins-slave01"
    computed = str(uuid.uuid5(uuid.UUID("4d9e7f5e-5a5c-5bd5-9d0e-3d1f5f6f0a00"), name))
    assert not is_owned(dataclasses.replace(seen_domain(), name=name, uuid=computed), pods.owner())


def test_the_same_pod_of_another_state_directory_is_recognised_by_its_installation_and_files() -> None:
    assert why_foreign(seen_domain(), dataclasses.replace(pods.owner(), installation=OTHER)) == (
        f"was deployed from another state directory (installation {pods.INSTALLATION}, this one is {OTHER}; its files: "
        "/var/lib/iecpod/unit/pod1/nvram/iec01.fd)"
    )


def recorded_domain() -> ObservedResource:
    """As libvirt showed it that an earlier version had defined."""
    return parse_domain((RECORDED / "domain-without-installation.xml").read_text(), active=True)


def test_what_an_earlier_version_made_is_ours_where_the_pod_says_so() -> None:
    """Emulated guests are defined in another way since: plan says so, and calls them neither foreign nor new."""
    seen, wanted = recorded_domain(), resource_of(dataclasses.replace(pods.domain(), disposable=True), pods.STAMP)
    assert not is_owned(seen, pods.owner())
    owner = dataclasses.replace(pods.owner(), owns_unmarked=True)
    (change,) = make_plan([wanted], [seen], owner).changes
    assert change.action is Action.REPLACE and "another definition" in change.drift
    assert not is_owned(dataclasses.replace(seen, uuid=FOREIGN_UUID), owner)
    other = dataclasses.replace(seen, mark=dataclasses.replace(seen.mark, installation=OTHER))  # type: ignore[type-var]
    assert not is_owned(other, owner)


def test_the_mark_changes_no_digest_and_is_one_attribute() -> None:
    marked = resource_of(pods.admin_network(), pods.STAMP)
    unmarked = resource_of(pods.admin_network(), dataclasses.replace(pods.STAMP, installation=""))
    assert marked.digest == unmarked.digest
    assert marked.xml.replace(f" installation='{pods.INSTALLATION}'", "") == unmarked.xml
    assert parse_network(unmarked.xml, True).mark.installation == ""  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("note", "has_keys", "expected"),
    [
        (saved_pod(uri=EMBEDDED).to_json(), False, True),
        (json.dumps({"uri": "embedded", "installation": pods.INSTALLATION}), True, False),
        (None, False, False),
        (None, True, True),
        ("{", True, True),
        ("[]", True, False),
    ],
)
def test_the_note_says_which_version_deployed(tmp_path: Path, note: str | None, has_keys: bool, expected: bool) -> None:
    if note is not None:
        (tmp_path / NOTE).write_text(note)
    if has_keys:
        (tmp_path / "keys").mkdir()
    assert is_of_earlier_version(tmp_path) is expected


def test_a_pod_of_an_earlier_version_is_remembered_as_such(tmp_path: Path) -> None:
    """A later deploy writes the note again; its objects have no other mark than before."""
    known = saved_pod(uri=EMBEDDED, vcpus=2, disposable=False)  # a deploy always says whether it is
    (tmp_path / NOTE).write_text(known.to_json())
    save_pod(tmp_path, known, pods.INSTALLATION)
    assert is_of_earlier_version(tmp_path) and load_saved(tmp_path) == known
    (tmp_path / NOTE).unlink()
    save_pod(tmp_path, known, pods.INSTALLATION)
    assert not is_of_earlier_version(tmp_path) and load_saved(tmp_path) == known


def test_another_state_directory_is_another_owner_of_the_same_pod(tmp_path: Path) -> None:
    owners = [PodAdapters(layout_below(tmp_path / name), REF, RecordingReporter(), "").run.owner for name in ("a", "b")]
    assert owners[0].installation != owners[1].installation
    again = PodAdapters(layout_below(tmp_path / "a"), REF, RecordingReporter(), "").run.owner
    assert again == owners[0] and not again.owns_unmarked


def test_a_look_gives_a_state_directory_no_uuid(tmp_path: Path) -> None:
    """It gets the one that the look has shown: what was planned is what a deploy of the same run makes."""
    found = find_installation(tmp_path / "s")
    assert find_installation(tmp_path / "s") == found and not (tmp_path / "s").exists()
    assert find_installation(tmp_path / "other") != found
    assert ensure_installation(tmp_path / "s") == find_installation(tmp_path / "s") == found


def test_the_installation_is_made_once(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(ensure_installation(tmp_path / "s"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["installation"]
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\n",
        (tmp_path / "s" / "installation").read_text(),
    )
    assert (tmp_path / "s" / "installation").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["", "no uuid", FOREIGN_UUID.upper(), FOREIGN_UUID + "x", "\xff" * 100, "a" * 9999])
def test_a_damaged_installation_is_refused_and_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "installation"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(HostError, match="does not hold the UUID"):
        ensure_installation(tmp_path)
    assert path.read_text(encoding="latin-1") == text


def test_an_installation_is_no_link_and_no_directory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(pods.INSTALLATION + "\n")
    (tmp_path / "installation").symlink_to("elsewhere")
    with pytest.raises(HostError, match="symbolic links"):
        ensure_installation(tmp_path)
    (tmp_path / "installation").unlink()
    (tmp_path / "installation").mkdir()
    with pytest.raises(HostError, match="installation"):
        ensure_installation(tmp_path)


def test_the_first_deploys_of_a_state_directory_agree_on_its_installation(layout: Layout, tools: FakeTools) -> None:
    """Both propose one; that of the other run is the first on disk."""
    asked: list[str] = []
    save, find_host = tools.save, tools.host

    def save_later(pod: SavedPod) -> None:
        save(pod)
        tools.owner = tools.hypervisor.owner = dataclasses.replace(tools.owner, installation=OTHER)

    def host(uri: HypervisorUri) -> FakeHost:
        asked.append(tools.owner.installation)
        return find_host(uri)

    tools.save, tools.host = save_later, host  # type: ignore[method-assign]
    run_deploy(layout, tools)
    assert asked[-1] == OTHER
    assert {seen.mark.installation for seen in tools.hypervisor.observe() if seen.mark} == {OTHER}


def add_clone(hypervisor: FakeHypervisor, *, disk: str = "/srv/clone.qcow2") -> str:
    """As virt-clone makes one: another name, another UUID, and all the metadata of the original."""
    original = next(seen for seen in hypervisor.observe() if seen.name == "local-virtual1-iec02")
    xml = hypervisor.dump(original).replace(original.uuid, FOREIGN_UUID)
    xml = xml.replace("<name>local-virtual1-iec02<", "<name>local-virtual1-iec02-clone<")
    hypervisor.add_foreign(Kind.DOMAIN, xml.replace(original.disks[0], disk))
    return "local-virtual1-iec02-clone"


def test_teardown_leaves_a_clone_and_says_so(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    clone = add_clone(tools.hypervisor)
    removed = teardown(tools, site("qemu:///system"))
    assert "domain local-virtual1-iec02" in removed.names and "pool iecpod-local-virtual1" in removed.names
    assert [seen.name for seen in tools.hypervisor.observe()] == [clone] and not tools.pod_dir.exists()
    with pytest.raises(CleanupError) as caught:
        removed.check()
    assert caught.value.cause.startswith(
        f"teardown left behind: domain {clone}, which bears the metadata of this POD, but not the name and UUID"
    )
    assert int(caught.value.exit_code) == 7 and "virsh edit" in caught.value.remedy


def test_a_clone_keeps_the_embedded_hypervisor_that_it_lives_on(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    add_clone(tools.hypervisor)
    assert len(teardown(tools, site(EMBEDDED)).kept) == 1
    assert tools.pod_dir.exists() and tools.fake_host.started


def test_a_pool_with_the_disk_of_a_clone_stays(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    disk = str(tools.pod_dir / "pool" / "clone.qcow2")
    clone = add_clone(tools.hypervisor, disk=disk)
    removed = teardown(tools, site("qemu:///system"))
    assert [kept.name for kept in removed.kept] == [f"domain {clone}", "pool iecpod-local-virtual1"]
    assert removed.kept[1].why == f"holds disks of {clone}"
    assert tools.pod_dir.exists()
    assert {seen.kind for seen in tools.hypervisor.observe()} == {Kind.DOMAIN, Kind.POOL, Kind.VOLUME}


def test_a_redeploy_goes_past_a_clone(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    clone = add_clone(tools.hypervisor)
    assert redeploy(resolve(layout), tools, lambda _report: None).outcome == "done"
    assert any(f"warning: domain {clone} stays, which bears" in line for line in tools.reporter.lines)
    assert clone in {seen.name for seen in tools.hypervisor.observe()}


def test_the_pod_of_another_state_directory_is_refused_and_left(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    before = tools.hypervisor.observe()
    other = FakeTools(tools.pod_dir.parent / "elsewhere", layout)
    other.owner = dataclasses.replace(other.owner, installation=OTHER)
    other.hypervisor, other.fake_host = tools.hypervisor, tools.fake_host
    tools.hypervisor.owner = other.owner
    with pytest.raises(PreflightError) as caught:
        run_deploy(layout, other)
    conflicts = {problem.path: problem.message for problem in caught.value.problems if problem.rule == "name-conflict"}
    assert len(conflicts) == 8
    assert f"installation {pods.INSTALLATION}, this one is {OTHER}" in conflicts["domain local-virtual1-iec01"]
    assert str(tools.pod_dir / "pool") in conflicts["pool iecpod-local-virtual1"]
    removed = teardown(other, site(SYSTEM))
    assert removed.names == () and len(removed.kept) == 8
    tools.hypervisor.owner = tools.owner
    assert tools.hypervisor.observe() == before


def test_gc_takes_the_pods_of_other_state_directories_only_when_asked_and_clones_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = resource_of(pods.private_network(), pods.STAMP)
    clone = network.xml.replace(network.uuid, FOREIGN_UUID).replace("unit-pod1-private", "unit-pod1-private-clone")
    put_in_place(monkeypatch, f"<node>{clone.replace('internal', 'br9')}</node>", tmp_path)
    gc = ("gc", "--older-than", "0s", "-c", TEST_URI)
    assert "nothing is left over" in run(tmp_path, *gc, "--all").stdout
    put_in_place(monkeypatch, f"<node>{network.xml}</node>", tmp_path)
    kept = run(tmp_path, *gc).stdout
    assert kept.splitlines()[1].startswith("kept  POD unit/pod1") and "not deployed from here" in kept
    assert "would remove  POD unit/pod1" in run(tmp_path, *gc, "--all", "--dry-run").stdout


@pytest.mark.parametrize("installation", [pods.INSTALLATION, ""])
def test_the_mark_of_a_namespace_is_read_back(installation: str) -> None:
    mark = NamespaceMark(Path("/srv/my labs/state/pods/unit/pod1"), installation)
    assert NamespaceMark.parse(str(mark)) == mark
    assert len(str(NamespaceMark(Path("/" + "x" * 98), pods.INSTALLATION))) < 256


@pytest.mark.parametrize("alias", ["", "iecpod", "somebody /x/libvirt", "iecpod /x/elsewhere", "iecpod /x/libvirt "])
def test_the_mark_of_somebody_else_is_none(alias: str) -> None:
    assert NamespaceMark.parse(alias) is None


def test_an_orphan_is_of_the_state_directory_that_marked_it() -> None:
    marked = Orphan("n", Path("/s/pods/unit/pod1"), pods.INSTALLATION, None)
    assert marked.is_of(pods.INSTALLATION, Path("/elsewhere")) and not marked.is_of(OTHER, Path("/s"))
    earlier = dataclasses.replace(marked, installation="")
    assert earlier.is_of(OTHER, Path("/s")) and not earlier.is_of(OTHER, Path("/elsewhere"))
