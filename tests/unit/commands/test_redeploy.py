"""Redeploy: nothing is removed before it is known that it can be built again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from iecpod.commands.deploy import deploy
from iecpod.commands.redeploy import redeploy, redeploy_changed
from iecpod.design.machines import Route, Seed
from iecpod.design.pod_design import PodOrder
from iecpod.errors import CleanupError, HostError, PreflightError
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.ports import BaseImage
from iecpod.provider import Removed
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.provider import LibvirtProvider
from iecpod.reports.run_report import Report
from tests.fakes import FakeHost
from tests.fakes.images import FakeImages
from tests.fakes.pod_tools import FakeTools
from tests.unit.command_line import run
from tests.unit.commands.test_commands import layout, resolve, run_deploy, tools

__all__ = ["layout", "tools"]


def _run_ids(tools: FakeTools) -> set[str]:
    """Pools carry no mark of their own."""
    marks = {seen.mark for seen in tools.hypervisor.observe() if seen.kind in (Kind.DOMAIN, Kind.NETWORK)}
    return {mark.run_id if mark else "" for mark in marks}


def test_everything_is_recreated(layout: Layout, tools: FakeTools) -> None:
    first = run_deploy(layout, tools)
    reports: list[Report] = []
    tools.run_id = "second"
    report = redeploy(resolve(layout), tools, reports.append)
    assert report.outcome == "done" and reports == [report]
    assert first.run_id != "second" and _run_ids(tools) == {"second"}


def test_without_a_pod_it_is_a_deploy(layout: Layout, tools: FakeTools) -> None:
    assert redeploy(resolve(layout), tools, lambda _report: None).outcome == "done"


def test_options_that_a_deploy_refuses_may_change(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    redeploy(resolve(layout, service_cidr="172.16.2.0/24", vcpus=3), tools, lambda _report: None)
    assert tools.saved_pod.options.service_cidr == "172.16.2.0/24" and tools.saved_pod.options.vcpus == 3


def test_what_could_not_be_built_again_is_not_removed(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    before = tools.hypervisor.observe()
    tools.fake_host = FakeHost(tools.hypervisor, (Route(IPv4Network("100.100.0.0/16"), "vpn0", "interface vpn0"),))
    with pytest.raises(PreflightError) as caught:
        redeploy(resolve(layout), tools, lambda _report: None)
    assert caught.value.cause == "POD local/virtual1 could not be deployed again; it stands as it was"
    assert tools.hypervisor.observe() == before
    assert {seen.kind for seen in before} >= {Kind.DOMAIN, Kind.NETWORK}


class _HostThatStartsNoMore(FakeHost):
    """Its daemons run for as long as there is something of a POD."""

    def start(self) -> None:
        if not self.hypervisor.observe():
            raise HostError("libvirtd does not start", "")
        super().start()


@pytest.mark.parametrize("verb", [redeploy, redeploy_changed])
def test_what_was_removed_and_could_not_be_built_is_built_by_the_next_run(
    layout: Layout, tools: FakeTools, verb: Callable[..., Report]
) -> None:
    """Which needs no options either: they are kept when the POD has gone and the new one has not started."""
    deploy(resolve(layout, service_cidr="172.16.2.0/24"), tools, lambda _report: None)
    tools.fake_host = _HostThatStartsNoMore(tools.hypervisor)
    with pytest.raises(HostError, match="does not start"):
        verb(resolve(layout, service_cidr="172.16.2.0/24", vcpus=3), tools, lambda _report: None)
    assert tools.hypervisor.observe() == ()
    assert (tools.saved_pod.options.service_cidr, tools.saved_pod.options.vcpus) == ("172.16.2.0/24", 3)


def test_machines_that_do_not_fit_are_refused_while_the_old_ones_stand(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    with pytest.raises(PreflightError) as caught:
        redeploy(resolve(layout, memory_mib=20000), tools, lambda _report: None)
    assert [problem.rule for problem in caught.value.problems if problem.rule != "changed-in-place"] == ["memory"]
    assert _made_by(tools, "0123456789ab") == _ALL
    with pytest.raises(PreflightError) as caught:
        redeploy(resolve(layout, vcpus=1), tools, lambda _report: None)
    assert [problem.rule for problem in caught.value.problems if problem.rule != "changed-in-place"] == ["kubeadm-cpus"]
    assert _made_by(tools, "0123456789ab") == _ALL


class _ImagesAskedFor(FakeImages):
    """Notes how many machines there were whenever it was asked."""

    def __init__(self, tools: FakeTools) -> None:
        self.machines: list[int] = []
        self._tools = tools

    def find(self, arch: Arch) -> BaseImage:
        self.machines.append(sum(seen.kind is Kind.DOMAIN for seen in self._tools.hypervisor.observe()))
        return super().find(arch)


def test_the_image_is_asked_for_while_the_old_machines_need_it(layout: Layout, tools: FakeTools) -> None:
    """Between the removal of their disks and the making of new ones, nothing else keeps it in the cache."""
    run_deploy(layout, tools)
    images = _ImagesAskedFor(tools)
    tools.images = lambda _release, _bundle_via: images  # type: ignore[method-assign, assignment]
    redeploy(resolve(layout), tools, lambda _report: None)
    assert images.machines[0] == 3


_MACHINES = {f"local-virtual1-iec0{index}" for index in (1, 2, 3)}
_ALL = _MACHINES | {f"local-virtual1-{network}" for network in ("admin", "mgmt", "private", "public")}


def _made_by(tools: FakeTools, run_id: str) -> set[str]:
    return {seen.name for seen in tools.hypervisor.observe() if seen.mark and seen.mark.run_id == run_id}


def _base(layout: Layout, tmp_path: Path, file: str, *swaps: tuple[str, str]) -> str:
    """iecpod's own descriptors, with one of the POD's two files changed."""
    base = tmp_path / "base"
    shutil.copytree(layout.pdf_dir, base)
    path = base / "labs" / "local" / file
    text = path.read_text()
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return str(base)


_LARGER_IEC03 = ("    node: *worker\n", "    node: {<<: *worker, memory: 2G}\n")


class _ToolsWithoutSeeds(FakeTools):
    def make_seed(self, seed: Seed) -> bytes:
        raise HostError("no seed", "")


def _redeploy_changed(tools: FakeTools, layout: Layout, **options: object) -> Report:
    tools.run_id = "second"
    return redeploy_changed(resolve(layout, **options), tools, lambda _report: None)


def test_only_the_worker_that_changed_is_recreated(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    run_deploy(layout, tools)
    report = _redeploy_changed(tools, layout, base_uri=_base(layout, tmp_path, "virtual1.yaml", _LARGER_IEC03))
    assert _made_by(tools, "second") == {"local-virtual1-iec03"}
    assert _made_by(tools, "0123456789ab") == _ALL - {"local-virtual1-iec03"}
    (iec03,) = (seen for seen in tools.hypervisor.observe() if seen.name == "local-virtual1-iec03")
    assert iec03.memory_mib == 2048 and iec03.active
    assert {phase.name for phase in report.phases if phase.outcome == "done"} == {"domains"}
    assert "removed domain local-virtual1-iec03" in tools.reporter.lines
    assert not any(line.startswith("warning") for line in tools.reporter.lines)


def test_where_nothing_changed_nothing_is_removed(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    before = tools.hypervisor.observe()
    assert _redeploy_changed(tools, layout).outcome == "in place"
    assert tools.hypervisor.observe() == before


@pytest.mark.parametrize(
    ("file", "swap", "why"),
    [
        ("virtual1.yaml", ("memory: 2560M", "memory: 3G"), "domain local-virtual1-iec01: differs from the descriptors"),
        ("idf-virtual1.yaml", ("10.0.19.", "10.0.29."), "network local-virtual1-public: differs from the descriptors"),
    ],
)
def test_the_control_plane_and_networks_take_the_whole_pod(
    layout: Layout, tools: FakeTools, tmp_path: Path, file: str, swap: tuple[str, str], why: str
) -> None:
    run_deploy(layout, tools)
    _redeploy_changed(tools, layout, base_uri=_base(layout, tmp_path, file, swap))
    assert _made_by(tools, "second") == _ALL
    (shown,) = (line for line in tools.reporter.lines if line.startswith("warning"))
    assert shown.startswith(f"warning: the whole POD is recreated: {why}")


def test_another_cluster_takes_the_whole_pod(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    _redeploy_changed(tools, layout, service_cidr="172.16.2.0/24")
    assert _made_by(tools, "second") == _ALL and tools.saved_pod.options.service_cidr == "172.16.2.0/24"
    assert (
        "warning: the whole POD is recreated: it was deployed with the service CIDR 172.16.1.0/24, not 172.16.2.0/24"
        in tools.reporter.lines
    )


def test_a_worker_that_could_not_be_made_again_is_not_removed(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    run_deploy(layout, tools)
    too_large = ("    node: *worker\n", "    node: {<<: *worker, memory: 64G}\n")
    with pytest.raises(PreflightError, match="it stands as it was"):
        _redeploy_changed(tools, layout, base_uri=_base(layout, tmp_path, "virtual1.yaml", too_large))
    assert _made_by(tools, "0123456789ab") == _ALL


def test_a_deploy_continues_where_a_replacement_was_killed(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    """The worker is gone and its new domain is not defined yet; what is left is what a deploy makes."""
    run_deploy(layout, tools)
    base = _base(layout, tmp_path, "virtual1.yaml", _LARGER_IEC03)
    killed = _ToolsWithoutSeeds(tmp_path, layout)
    killed.hypervisor, killed.fake_host, killed.saved_pod = tools.hypervisor, tools.fake_host, tools.saved_pod
    with pytest.raises(HostError, match="no seed"):
        redeploy_changed(resolve(layout, base_uri=base), killed, lambda _report: None)
    assert _made_by(tools, "0123456789ab") == _ALL - {"local-virtual1-iec03"}
    tools.run_id = "second"
    assert deploy(resolve(layout, base_uri=base), tools, lambda _report: None).outcome == "done"
    assert _made_by(tools, "second") == {"local-virtual1-iec03"}


def test_the_refusal_of_a_deploy_says_which_redeploy_helps(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    run_deploy(layout, tools)
    base = _base(layout, tmp_path, "virtual1.yaml", _LARGER_IEC03)
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, base_uri=base), tools, lambda _report: None)
    (problem,) = caught.value.problems
    assert problem.path == "domain local-virtual1-iec03"
    assert problem.remedy == (
        "`iecpod redeploy --changed` recreates it; or go back to the descriptors and options that it was made from"
    )
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, vcpus=3), tools, lambda _report: None)
    assert {problem.remedy.split(";")[0] for problem in caught.value.problems} == {
        "`iecpod redeploy` recreates the whole POD"
    }


def test_taking_machines_as_they_are_is_no_redeploy(tmp_path: Path) -> None:
    result = run(tmp_path, "redeploy", "-l", "local", "-p", "virtual1", "-f")
    assert result.exit_code == 1 and "-f takes machines as they are" in str(result.exception)


class _Staying(LibvirtProvider):
    """Its machines stay."""

    def __init__(self, tools: FakeTools, left: tuple[str, ...] = ()) -> None:
        super().__init__(EMBEDDED, tools)
        self.left = left
        self.resets: list[tuple[str, ...]] = []

    def reset(self, order: PodOrder) -> Removed:
        self.resets.append(order.hostnames)
        super().remove()
        return Removed(() if self.left else ("node iec01",), left=self.left, keeps_state=True)

    def remove(self) -> Removed:
        raise AssertionError("what is needed for the next login would go")


def test_machines_that_stay_keep_the_way_in(layout: Layout, tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    run_deploy(layout, tools)
    staying = _Staying(tools)
    monkeypatch.setattr(tools, "provider", lambda _site: staying)
    keys = (tools.pod_dir / "keys/id_ed25519").read_bytes()
    tools.kubeconfig_path.write_text("of the cluster that goes")
    assert redeploy(resolve(layout, vcpus=3), tools, lambda _report: None).outcome == "done"
    assert staying.resets == [("iec01", "iec02", "iec03")] and "removed node iec01" in tools.reporter.lines
    assert (tools.pod_dir / "keys/id_ed25519").read_bytes() == keys
    assert "of the cluster that goes" not in tools.kubeconfig_path.read_text()
    assert tools.saved_pod.options.vcpus == 3


def test_a_machine_that_is_not_as_before_is_not_deployed_again(
    layout: Layout, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_deploy(layout, tools)
    monkeypatch.setattr(tools, "provider", lambda _site: _Staying(tools, ("edge1: package socat",)))
    with pytest.raises(CleanupError, match="redeploy left behind: edge1: package socat"):
        redeploy(resolve(layout), tools, lambda _report: None)
