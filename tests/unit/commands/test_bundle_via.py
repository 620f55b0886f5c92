"""How a bundle gets to the nodes: the choice, what a POD remembers of it, and what it makes of plan and deploy."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.commands.redeploy import redeploy_changed
from iecpod.deploy.phases.runtime import RuntimePhase
from iecpod.design.software.bundle_delivery import choose_bundle_via
from iecpod.errors import CommandFailed, UsageError
from iecpod.hypervisor_uri import EMBEDDED, SYSTEM, HypervisorUri
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.options.choices import BundleVia
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.ports import BundleFiles, CommandResult
from iecpod.providers.libvirt.objects import Kind
from iecpod.release.mirrors import Supply
from iecpod.release.release import ImageSource, ImageSourceType, Release
from iecpod.render.bundle_install import MOUNT_DISK, NO_DISK
from tests.fakes import FakeShell, fake_phase_tools
from tests.fakes.pod_tools import NODES, REF, FakeTools
from tests.fakes.probes import MISSING
from tests.pod_requests import pod_request, saved_pod
from tests.pods import site
from tests.unit.commands.test_commands import layout, resolve, run_deploy, tools
from tests.unit.conftest import make_release
from tests.unit.images.test_images import load

__all__ = ["layout", "tools"]

IMAGE, DISK, SSH = BundleVia.IMAGE, BundleVia.DISK, BundleVia.SSH
REMOTE = HypervisorUri("qemu+ssh://root@lab7/system")


def foreign_image() -> Release:
    """A release with a bundle whose image iecpod does not make."""
    image = ImageSource(type=ImageSourceType.FILE, location={}, sha256sums={})
    return dataclasses.replace(load("debian12"), image=image)


@pytest.mark.parametrize(
    ("release", "uri", "asked", "known", "chosen"),
    [
        (load("debian12"), EMBEDDED, None, None, IMAGE),
        (load("debian12"), EMBEDDED, DISK, IMAGE, DISK),
        (load("debian12"), EMBEDDED, None, SSH, SSH),
        (load("debian12"), REMOTE, None, None, IMAGE),
        (load("debian12"), REMOTE, None, DISK, IMAGE),
        (foreign_image(), SYSTEM, None, None, DISK),
        (foreign_image(), SYSTEM, None, IMAGE, DISK),
        (foreign_image(), REMOTE, None, None, SSH),
        (load("k8s-1.37"), EMBEDDED, None, IMAGE, None),
    ],
)
def test_the_choice(
    release: Release, uri: HypervisorUri, asked: BundleVia | None, known: BundleVia | None, chosen: BundleVia | None
) -> None:
    assert choose_bundle_via(release, site(uri), asked=asked, known=known) is chosen


@pytest.mark.parametrize(
    ("release", "uri", "asked", "cause", "remedy"),
    [
        (
            foreign_image(),
            EMBEDDED,
            IMAGE,
            "--bundle-via image: the image of release debian12 comes from elsewhere and is taken as it is",
            "leave it out, or use disk or ssh",
        ),
        (
            load("debian12"),
            REMOTE,
            DISK,
            "--bundle-via disk: the hypervisor at qemu+ssh://root@lab7/system does not see the disks of this machine",
            "leave it out, or use image or ssh",
        ),
        (
            load("k8s-1.37"),
            EMBEDDED,
            SSH,
            "--bundle-via ssh: release k8s-1.37 has no bundle, and none was given",
            "leave it out, or choose a release with a bundle",
        ),
    ],
)
def test_what_is_asked_for_and_impossible(
    release: Release, uri: HypervisorUri, asked: BundleVia, cause: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_bundle_via(release, site(uri), asked=asked, known=None)
    assert (caught.value.cause, caught.value.remedy) == (cause, remedy)


def test_machines_alone_wait_for_no_bundle(layout: Layout) -> None:
    assert resolve(layout).order.options.bundle_via is IMAGE
    alone = resolve(layout, until="reachable")
    assert alone.order.options.bundle_via is SSH
    assert resolve(layout, until="reachable", bundle_via=DISK).order.options.bundle_via is DISK
    later = resolve_request(pod_request(ref=REF), layout, alone.to_save)
    assert later.order.options.bundle_via is SSH, "their image is not baked"


@pytest.mark.parametrize(("baked", "meant"), [(True, IMAGE), (False, SSH), (None, None)])
def test_notes_of_before_are_read(baked: bool | None, meant: BundleVia | None) -> None:
    assert SavedPod.from_json(json.dumps({"uri": "embedded", "baked": baked})) == saved_pod(
        uri=EMBEDDED, bundle_via=meant, disposable=True
    )
    assert SavedPod.from_json(saved_pod(bundle_via=DISK).to_json()).options.bundle_via is DISK


@pytest.mark.parametrize(
    ("via", "words"),
    [
        (IMAGE, "in the image"),
        (DISK, "on a disk that new nodes share and only read, /cache/x86_64.img"),
        (SSH, "sent to each node over SSH"),
    ],
)
def test_the_plan_shows_it_and_makes_no_disk(layout: Layout, tools: FakeTools, via: BundleVia, words: str) -> None:
    inputs = resolve(layout, bundle_via=via)
    (row,) = [line for line in plan_text(inputs, make_pod_plan(inputs, tools)).splitlines() if "bundle " in line]
    assert row.split(maxsplit=1) == ["bundle", words]
    assert tools.disks.made == []


def _with_disk(tools: FakeTools) -> set[str]:
    domains = [seen for seen in tools.hypervisor.observe() if seen.kind is Kind.DOMAIN]
    return {seen.name for seen in domains if "<source file='/cache/x86_64.img'" in tools.hypervisor.dump(seen)}


def _changes(layout: Layout, tools: FakeTools, via: BundleVia) -> set[str]:
    return {change.reason for change in make_pod_plan(resolve(layout, bundle_via=via), tools).planned.plan.changes}


def test_domains_get_one_disk_that_is_made_with_the_image(layout: Layout, tools: FakeTools) -> None:
    report = deploy(resolve(layout, bundle_via=DISK), tools, lambda _report: None)
    assert report.phases[0].outcome == "done" and tools.disks.made == [Arch.X86_64]
    assert _with_disk(tools) == {f"local-virtual1-{node}" for node in NODES}
    assert tools.saved_pod.options.bundle_via == "disk"
    tools.disks.made.clear()
    inputs = resolve_request(pod_request(ref=REF), layout, tools.saved_pod)
    assert deploy(inputs, tools, lambda _report: None).outcome == "in place"
    assert tools.disks.made == [], "machines that are there need it no more"


def test_a_pod_that_lives_is_not_recreated_for_a_disk(layout: Layout, tools: FakeTools) -> None:
    deploy(resolve(layout, bundle_via=SSH), tools, lambda _report: None)
    assert _with_disk(tools) == set()
    before = tools.hypervisor.observe()
    assert _changes(layout, tools, DISK) == {"in place"}
    assert deploy(resolve(layout, bundle_via=DISK), tools, lambda _report: None).outcome == "in place"
    redeploy_changed(resolve(layout, bundle_via=DISK), tools, lambda _report: None)
    assert tools.hypervisor.observe() == before and tools.saved_pod.options.bundle_via == "disk"
    assert _changes(layout, tools, SSH) == {"in place"}


def test_a_worker_that_is_recreated_gets_the_disk(layout: Layout, tools: FakeTools) -> None:
    deploy(resolve(layout, bundle_via=SSH), tools, lambda _report: None)
    (lost,) = [seen for seen in tools.hypervisor.observe() if seen.name == "local-virtual1-iec03"]
    tools.hypervisor.remove(lost)
    deploy(resolve(layout, bundle_via=DISK), tools, lambda _report: None)
    assert _with_disk(tools) == {"local-virtual1-iec03"} and tools.disks.made == [Arch.X86_64]


def test_what_a_deploy_finds_of_a_baked_image_needs_no_disk(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    assert tools.disks.made == [] and _with_disk(tools) == set()


def _bundle(directory: Path) -> BundleFiles:
    for name in ("runc.deb", "kubeadm", "images.tar"):
        (directory / name).write_text(f"content of {name}")
    return BundleFiles(
        debs=(directory / "runc.deb",),
        programs=(directory / "kubeadm",),
        images=(directory / "images.tar",),
        references=("k8s.gcr.io/pause:3.2",),
    )


def _run_phase(shell: FakeShell, directory: Path) -> tuple[Sequence[tuple[str, ...]], set[str]]:
    """What was run by its name, and what was sent."""
    shell.on("sh", "-c", stdout=MISSING).on("systemctl")
    bundle = _bundle(directory)
    phase = RuntimePhase(
        make_release(),
        Supply(),
        {"iec01": shell},
        lambda _: b"",
        lambda _hostname, _is_sent: bundle,
        fake_phase_tools(),
        {"iec01": "u-1"},
    )
    phase.run()
    scripts = [call[3:] for call in shell.calls if call[:2] == ("sh", "-euc")]
    return scripts, {path for path in shell.files if path.startswith("/var/cache/iecpod-bundle/")}


def _answering(mount_returncode: int) -> FakeShell:
    def answer(argv: Sequence[str], _stdin: bytes) -> CommandResult:
        return CommandResult(mount_returncode if argv[3] == "mount-bundle" else 0, "", "mount: bad superblock\n")

    return FakeShell().reply(("sh", "-euc"), answer)


def test_a_node_installs_from_its_disk(tmp_path: Path) -> None:
    scripts, sent = _run_phase(_answering(0), tmp_path)
    assert scripts == [
        ("mount-bundle", "/var/cache/iecpod-bundle", "u-1"),
        ("install-bundle", "k8s.gcr.io/pause:3.2"),
    ]
    assert sent == set()


def test_a_node_without_the_disk_is_sent_the_bundle(tmp_path: Path) -> None:
    scripts, sent = _run_phase(_answering(3), tmp_path)
    assert [script[0] for script in scripts] == ["mount-bundle", "install-bundle"]
    assert {Path(path).name for path in sent} == {"runc.deb", "kubeadm", "images.tar"}


def test_a_machine_without_the_disk_says_so_and_mounts_nothing(tmp_path: Path) -> None:
    argv = ["sh", "-euc", MOUNT_DISK, "mount-bundle", str(tmp_path / "bundle"), "00000000-0000-0000-0000-000000000000"]
    assert subprocess.run(argv).returncode == NO_DISK
    assert not (tmp_path / "bundle").exists()


def test_a_disk_that_cannot_be_mounted_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        _run_phase(_answering(32), tmp_path)
    assert "mount: bad superblock" in str(caught.value)
