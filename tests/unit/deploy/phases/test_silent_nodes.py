"""Nodes that do not answer, or not in full, while phases look: nothing is changed on them for that."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest

from iecpod.cni.kube_router import KubeRouter
from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.node.cni_files import CniFiles
from iecpod.deploy.node.systemd_job import START, run_job
from iecpod.deploy.phases import control_plane, workers
from iecpod.deploy.phases.control_plane import ControlPlanePhase
from iecpod.deploy.phases.helm import HelmPhase
from iecpod.deploy.phases.prune import PrunePhase, SurplusMachines
from iecpod.deploy.phases.ready import ReadyPhase
from iecpod.deploy.phases.runtime import RuntimePhase
from iecpod.deploy.phases.workers import WorkersPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import CommandFailed, NodeError, NodeUnreachable, WaitTimeout
from iecpod.ports import BundleFiles, CommandResult
from iecpod.release.mirrors import Supply
from iecpod.release.release import HelmSource
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools
from tests.fakes.jobs import jobs_of, on_job
from tests.fakes.probes import IN_PLACE
from tests.unit.conftest import make_release

SILENT = NodeUnreachable("iec02", "no route to host")
KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
REFUSED = CommandResult(1, "", "The connection to the server was refused")
_MADE = "admin.conf=yes\nmanifests=yes\nkube-scheduler.yaml=yes\njob={}\n"


def _control_plane(cluster: DesiredCluster, shell: FakeShell) -> ControlPlanePhase:
    return ControlPlanePhase(cluster, shell, fake_phase_tools(), AdminConf(cluster, shell))


@pytest.mark.parametrize("state", ["", "unknown", "Failed", "inactive\njob=inactive"])
def test_no_state_of_the_job_is_no_reason_for_a_reset(cluster: DesiredCluster, state: str) -> None:
    """systemd's bus does not answer, and neither does the API server of a cluster that is well."""
    shell = FakeShell().on("sh", "-c", control_plane.LOOK, stdout=_MADE.format(state)).reply(("kubectl",), REFUSED)
    for look in (_control_plane(cluster, shell).probe, _control_plane(cluster, shell).run):
        with pytest.raises(WaitTimeout, match="does not say what it has"):
            look()
    assert not shell.called("kubeadm") and jobs_of(shell) == [] and shell.files == {}


def test_a_bus_that_answers_late_is_waited_for(cluster: DesiredCluster) -> None:
    shell = FakeShell().on("sh", "-c", control_plane.LOOK, stdout=_MADE.format(""))
    shell.on("sh", "-c", control_plane.LOOK, stdout=_MADE.format("inactive")).on("kubectl", stdout="{}")
    assert _control_plane(cluster, shell).probe() == "API server at 172.16.10.36:6443"


def test_a_made_cluster_is_not_made_again_while_its_api_server_comes_and_goes(cluster: DesiredCluster) -> None:
    shell = FakeShell().on("sh", "-c", control_plane.LOOK, stdout=_MADE.format("inactive"))
    shell.on("kubectl", stdout="{}").reply(("kubectl",), REFUSED).on("kubectl", stdout='{"kind": "DaemonSet"}')
    _control_plane(cluster, shell).run()
    assert not shell.called("kubeadm") and jobs_of(shell) == []


def test_a_made_cluster_that_lacks_an_add_on_is_repaired_and_never_reset(cluster: DesiredCluster) -> None:
    """The API server goes away during the repair: later runs must not take that for an init that broke off."""
    shell = FakeShell().on("sh", "-c", control_plane.LOOK, stdout=_MADE.format("inactive")).on("kubectl", stdout="{}")
    kube_proxy = "--raw=/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"
    shell.on(*KUBECTL, "get", kube_proxy, stderr="Error from server (NotFound): x", returncode=1)
    on_job(shell.on("rm").on("systemctl", "reset-failed"), result="exit-code", status=1, journal="refused\n")
    with pytest.raises(CommandFailed):
        _control_plane(cluster, shell).run()
    assert len(jobs_of(shell)) == 1 and not shell.called("kubeadm", "reset")
    assert shell.called("systemctl", "reset-failed", "iecpod-kubeadm-init.service")


def test_an_init_that_was_cut_is_not_reset_before_its_api_server_had_time_to_start(cluster: DesiredCluster) -> None:
    look = "admin.conf=yes\nmanifests=yes\nkube-scheduler.yaml=no\njob=inactive\n"
    shell = FakeShell().on("sh", "-c", control_plane.LOOK, stdout=look).on("rm")
    shell.reply(("kubectl",), REFUSED).on("kubectl", stdout="{}")
    _control_plane(cluster, on_job(shell)).run()
    assert not shell.called("kubeadm", "reset") and len(jobs_of(shell)) == 1


def _workers(cluster: DesiredCluster, first: FakeShell, second: FakeShell) -> WorkersPhase:
    one_worker = dataclasses.replace(cluster, nodes=cluster.nodes[:2])
    return WorkersPhase(one_worker, {"iec01": first, "iec02": second}, fake_phase_tools())


def _lists(*names: str) -> FakeShell:
    listing = json.dumps({"items": [{"metadata": {"name": name}} for name in names]})
    return FakeShell("iec01").on(*KUBECTL, "get", "--raw=/api/v1/nodes", stdout=listing)


_BUSLESS = (CommandResult(0, "kubelet.conf=yes\njob=\n", ""), CommandResult(0, "kubelet.conf=no\njob=\n", ""))


@pytest.mark.parametrize("reply", [*_BUSLESS, SILENT, CommandResult(0, "", ""), CommandResult(1, "", "sudo: no")])
def test_a_worker_that_does_not_say_how_far_it_is_stays_a_node(
    cluster: DesiredCluster, reply: CommandResult | Exception
) -> None:
    first, second = _lists("iec01", "iec02"), FakeShell("iec02").reply(("sh", "-c", workers.LOOK), reply)
    for act in (_workers(cluster, first, second).probe, _workers(cluster, first, second).run):
        with pytest.raises(WaitTimeout):
            act()
    assert not first.called(*KUBECTL, "delete") and not second.called("kubeadm") and jobs_of(second) == []


def test_a_worker_that_answers_late_has_joined(cluster: DesiredCluster) -> None:
    second = FakeShell("iec02").reply(("sh",), SILENT).on("sh", stdout="kubelet.conf=yes\njob=inactive\n")
    assert _workers(cluster, _lists("iec01", "iec02"), second).probe() == "1 joined"


@pytest.mark.parametrize("names", [(), ("iec02",)])
def test_a_list_without_the_control_plane_is_no_list(cluster: DesiredCluster, names: Sequence[str]) -> None:
    """No node is taken for a machine of before, or joined again, for it."""
    first, second = _lists(*names), FakeShell("iec02")
    with pytest.raises(WaitTimeout, match="does not list iec01"):
        _workers(cluster, first, second).run()
    assert second.calls == [] and not first.called(*KUBECTL, "delete")


def test_a_job_that_systemd_does_not_start_has_not_failed_itself() -> None:
    """A join that fails is reset; one that was never started is not."""
    shell = FakeShell().on("sh", "-c", START, stderr="systemd does not say whether x runs\n", returncode=1)
    with pytest.raises(NodeError, match="systemd has not started x: systemd does not say") as caught:
        run_job(shell, "x", ["kubeadm", "join"], seconds=60, tools=fake_phase_tools(), remedy="")
    assert not isinstance(caught.value, CommandFailed)


def _runtime(shells: dict[str, FakeShell]) -> RuntimePhase:
    def no_bundle(_hostname: str, _is_sent: bool) -> BundleFiles:
        raise AssertionError("no bundle is wanted")

    return RuntimePhase(make_release(), Supply(), shells, lambda _: b"", no_bundle, fake_phase_tools())


@pytest.mark.parametrize("reply", [SILENT, *(CommandResult(status, "", "") for status in (0, 1, 255))])
def test_one_silent_node_has_nothing_installed_anywhere(reply: CommandResult | Exception) -> None:
    shells = {"iec01": FakeShell("iec01").on("sh", stdout=IN_PLACE), "iec02": FakeShell("iec02").reply(("sh",), reply)}
    with pytest.raises(WaitTimeout):
        _runtime(shells).probe()
    assert all(not shell.files and not shell.called("systemctl") for shell in shells.values())


def test_a_node_that_answers_late_has_its_runtime() -> None:
    late = FakeShell("iec02").reply(("sh",), SILENT).on("sh", stdout=IN_PLACE)
    assert _runtime({"iec02": late}).probe() == "containerd, Kubernetes 1.20.2"


def test_files_of_a_network_are_not_missing_where_a_node_is_silent(cluster: DesiredCluster) -> None:
    routed = dataclasses.replace(cluster, cni=KubeRouter())
    shells = {node.hostname: FakeShell(node.hostname).on("sh", stdout=IN_PLACE) for node in cluster.nodes}
    shells["iec02"] = FakeShell("iec02").reply(("sh",), SILENT)
    with pytest.raises(WaitTimeout):
        CniFiles(routed, shells).is_in_place(fake_phase_tools().waits)
    shells["iec02"].on("sh", stdout=IN_PLACE)
    assert CniFiles(routed, shells).is_in_place(fake_phase_tools().waits)


def test_a_boot_that_cannot_be_read_at_once_is_waited_for(cluster: DesiredCluster) -> None:
    items = [
        {
            "metadata": {"name": node.hostname},
            "status": {
                "addresses": [{"type": "InternalIP", "address": str(node.address)}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"bootID": "b"},
            },
        }
        for node in cluster.nodes
    ]
    shells = {node.hostname: FakeShell(node.hostname) for node in cluster.nodes}
    shells["iec01"].on("kubectl", stdout='{"items": []}')
    shells["iec01"].on(*KUBECTL, "get", "--raw=/api/v1/nodes", stdout=json.dumps({"items": items}))
    for shell in shells.values():
        shell.reply(("cat",), SILENT).on("cat", stdout="b\n")
    assert ReadyPhase(cluster, shells, fake_phase_tools()).probe() == "3 nodes Ready"


@pytest.mark.parametrize("listing", ["{}", '{"items": null}', '{"items": []}'])
def test_no_machine_is_removed_undrained_for_an_empty_list_of_nodes(listing: str) -> None:
    machines = ["iec02"]
    surplus = SurplusMachines(find=lambda: tuple(machines), remove=lambda _names: machines.clear())
    shell = FakeShell().on(*KUBECTL, "get", stdout=listing)
    phase = PrunePhase((), surplus, Kubectl(shell), fake_phase_tools(), True)
    with pytest.raises((WaitTimeout, NodeError)):
        phase.run()
    assert machines == ["iec02"]


def test_helm_is_sent_to_a_node_that_says_it_has_none() -> None:
    def found(*replies: CommandResult | Exception) -> str | None:
        shell = FakeShell()
        for reply in replies:
            shell.reply(("sh",), reply)
        release = dataclasses.replace(make_release(), helm=HelmSource(version="3.20.2", location={}))
        return HelmPhase(release, shell, tuple, RecordingReporter(), fake_phase_tools().waits).probe()

    assert found(CommandResult(0, "none\n", "")) is None
    assert found(SILENT, CommandResult(0, "", ""), CommandResult(0, "v3.20.2+g1\n", "")) == "Helm 3.20.2"
    for odd in (CommandResult(0, "", ""), CommandResult(137, "", "Killed"), CommandResult(0, "v3.20.2", "")):
        with pytest.raises(WaitTimeout):
            found(odd)
