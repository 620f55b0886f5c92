"""`status`: what is there, what has drifted, who is at work; on a hypervisor in memory and scripted nodes."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest

from iecpod.adapters.pod_lock import pod_lock
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.commands.status import PodStatus, observe_status
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.phases.verify import record_of
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import HypervisorUnavailable, ImageError, NodeUnreachable, WaitTimeout
from iecpod.layout import Layout
from iecpod.model import Arch, PodRef
from iecpod.naming import resource_uuid
from iecpod.options.choices import BundleVia
from iecpod.pods.cluster_status import ClusterStatus, look_at_cluster
from iecpod.ports import CommandResult, LockHolder
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.xml import resource_of
from tests import pods
from tests.fakes import FakeHypervisor, FakeShell
from tests.fakes.pod_tools import NODES, REF, FakeTools
from tests.unit.command_line import install, layout_below, run
from tests.unit.commands.test_commands import layout, resolve, run_deploy, tools
from tests.unit.providers.libvirt.libvirt_of_tests import TEST_URI, put_in_place

__all__ = ["layout", "tools"]

KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get")
HOLDER = LockHolder(4711, "iecpod deploy -l local -p virtual1", "2026-01-02T03:04:05+00:00")


def _status(layout: Layout, tools: FakeTools) -> PodStatus:
    return observe_status(resolve(layout), tools)


def _drift(status: PodStatus) -> dict[str, tuple[str, ...]]:
    return {found.name: found.differences for found in status.drift}


def test_a_pod_as_deployed_has_not_drifted(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    status = _status(layout, tools)
    assert (status.state, status.busy, status.drift) == ("ready", None, ())
    assert [(node.node, node.domain, node.ssh, node.kubernetes, node.drift) for node in status.nodes] == [
        (name, "running", "ok", "Ready", ()) for name in NODES
    ]
    assert status.cluster is not None and status.cluster.verified and status.api == "ok"
    text = status.to_text().splitlines()
    assert text[0] == "POD local/virtual1: ready" and text[1].endswith("CNI bridge, verified")
    assert text[3].split() == ["iec01", "running", "172.16.10.36", "ok", "Ready", "172.16.10.36", "-"]
    assert len(text) == 6


def test_one_that_was_never_deployed_is_absent_and_has_not_drifted(layout: Layout, tools: FakeTools) -> None:
    status = _status(layout, tools)
    assert (status.state, status.nodes, status.drift) == ("absent", (), ())
    assert not tools.fake_host.started
    tools.pod_dir.mkdir()
    status = _status(layout, tools)
    assert (status.state, status.drift) == ("absent", ())
    assert [node.domain for node in status.nodes] == ["absent"] * 3


def test_ssh_and_the_api_server_are_asked_apart(layout: Layout, tools: FakeTools) -> None:
    """With a kubectl on this host, a cluster that answers shows nothing of SSH."""
    run_deploy(layout, tools)
    tools.node_shells["iec01"].on("true", returncode=255)
    assert [node.ssh for node in _status(layout, tools).nodes] == ["ok"] * 3
    status = _status(layout, tools)
    assert [node.ssh for node in status.nodes] == ["unknown", "ok", "ok"] and status.cluster is not None


def test_what_others_changed_is_shown_by_status_and_by_plan(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    hypervisor = tools.hypervisor
    hypervisor.edit_outside("local-virtual1-iec01", lambda xml: xml.replace(">2</vcpu>", ">1</vcpu>"))
    hypervisor.set_autostart_outside(Kind.DOMAIN, "local-virtual1-iec01", True)
    hypervisor.stop_outside(Kind.DOMAIN, "local-virtual1-iec02")
    hypervisor.pause_outside("local-virtual1-iec03")
    hypervisor.set_autostart_outside(Kind.NETWORK, "local-virtual1-mgmt", False)
    hypervisor.stop_outside(Kind.POOL, "iecpod-local-virtual1")
    status = _status(layout, tools)
    assert _drift(status) == {
        "local-virtual1-mgmt": ("autostart off, not on",),
        "iecpod-local-virtual1": ("off",),
        "local-virtual1-iec01": ("vcpus 1, not 2", "autostart on, not off"),
        "local-virtual1-iec02": ("off",),
        "local-virtual1-iec03": ("paused",),
    }
    assert [(node.domain, node.ssh) for node in status.nodes] == [("running", "ok"), ("off", "-"), ("paused", "-")]
    assert status.state == "partial"
    text = status.to_text()
    assert "172.16.10.36  vcpus 1, not 2; autostart on, not off\n" in text
    assert text.splitlines()[-2:] == [
        "network  local-virtual1-mgmt    autostart off, not on",
        "pool     iecpod-local-virtual1  off",
    ]
    data = json.loads(status.to_json())
    assert data["nodes"][0]["drift"] == ["vcpus 1, not 2", "autostart on, not off"]
    assert data["drift"][2] == {
        "kind": "domain",
        "name": "local-virtual1-iec01",
        "node": "iec01",
        "differences": ["vcpus 1, not 2", "autostart on, not off"],
    }
    inputs = resolve(layout)
    result = make_pod_plan(inputs, tools)
    assert "in place (vcpus 1, not 2; autostart on, not off)\n" in plan_text(inputs, result)
    assert result.problems == () and {change.name for change in result.planned.plan.pending} == {
        "iecpod-local-virtual1",
        "local-virtual1-iec02",
        "local-virtual1-iec03",
    }


def test_what_it_would_be_made_from_now_is_named(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    images = tools.images(resolve(layout).order.release, BundleVia.IMAGE)
    images.key = lambda arch: "a newer release's"  # type: ignore[method-assign]
    tools.images = lambda release, bundle_via: images  # type: ignore[method-assign]
    assert set(_drift(_status(layout, tools)).values()) == {("another image",)}
    status = observe_status(resolve(layout, memory_mib=1024), tools)
    assert status.nodes[0].drift == ("another definition", "another image", "memory 2560 MiB, not 1024 MiB")


def test_an_image_that_is_gone_is_in_no_looks_way(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    images = tools.images(resolve(layout).order.release, BundleVia.IMAGE)

    def key(arch: Arch) -> str:
        raise ImageError("there is no image file /srv/a.img")

    images.key = key  # type: ignore[method-assign]
    tools.images = lambda release, bundle_via: images  # type: ignore[method-assign]
    assert set(_drift(_status(layout, tools)).values()) == {("another image",)}
    assert "warning: there is no image file /srv/a.img" in tools.reporter.lines


def test_what_is_missing_in_excess_or_anothers(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    seen = {found.name: found for found in tools.hypervisor.observe()}
    tools.hypervisor.remove(seen["local-virtual1-iec03"])
    tools.hypervisor.remove(seen["local-virtual1-mgmt"])
    tools.hypervisor.add_foreign(Kind.NETWORK, "<network><name>local-virtual1-mgmt</name></network>")
    renamed = "local-virtual1-iec09"
    old, new = (str(resource_uuid(REF, "domain", name)) for name in ("local-virtual1-iec02", renamed))
    tools.hypervisor.edit_outside(
        "local-virtual1-iec02",
        lambda xml: xml.replace("<name>local-virtual1-iec02<", f"<name>{renamed}<").replace(old, new),
    )
    status = _status(layout, tools)
    assert _drift(status) == {
        "local-virtual1-mgmt": ("absent: an object that is not ours has its name or UUID",),
        "local-virtual1-iec02": ("absent",),
        "local-virtual1-iec03": ("absent",),
        "local-virtual1-iec09": ("no longer in the descriptors",),
    }
    assert "domain   local-virtual1-iec09  no longer in the descriptors" in status.to_text()
    assert status.state == "partial"


def test_a_pod_whose_objects_are_all_gone_has_drifted(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    tools.fake_host.hypervisor = tools.hypervisor = FakeHypervisor(tools.owner)
    status = _status(layout, tools)
    assert status.state == "absent" and set(_drift(status).values()) == {("absent",)}


def test_a_run_that_is_at_work_is_named_and_nothing_is_started(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    tools.held_by, tools.fake_host.started = HOLDER, False
    status = _status(layout, tools)
    assert status.state == "ready" and not tools.fake_host.started
    assert json.loads(status.to_json())["busy"] == {"pid": 4711, "command": HOLDER.command, "since": HOLDER.since}
    assert status.to_text().splitlines()[1] == (
        "busy: process 4711 (`iecpod deploy -l local -p virtual1`, since 2026-01-02T03:04:05+00:00) is at work on it"
    )


def test_without_a_run_a_dead_hypervisor_is_started(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    tools.fake_host.started = False
    _status(layout, tools)
    assert tools.fake_host.started


def test_a_hypervisor_that_is_not_there_is_an_error_only_where_nobody_is_at_work(
    layout: Layout, tools: FakeTools
) -> None:
    run_deploy(layout, tools)

    def connect() -> FakeHypervisor:
        raise HypervisorUnavailable("no libvirtd")

    tools.fake_host.connect = connect  # type: ignore[method-assign]
    tools.held_by = HOLDER
    assert _status(layout, tools) == PodStatus(pod="local/virtual1", state="unknown", busy=HOLDER)
    tools.held_by = None
    with pytest.raises(HypervisorUnavailable):
        _status(layout, tools)


def test_nodes_that_do_not_answer_hide_no_others(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    for hostname in ("iec01", "iec03"):
        shell = FakeShell(hostname)
        shell.reply(("kubectl",), NodeUnreachable(hostname, "gone")).reply(("true",), NodeUnreachable(hostname, "gone"))
        tools.node_shells[hostname] = shell
    status = _status(layout, tools)
    assert (status.state, status.cluster, status.api) == ("partial", None, "unknown")
    assert [(node.ssh, node.kubernetes, node.internal_ip) for node in status.nodes] == [
        ("unknown", "unknown", "unknown"),
        ("ok", "unknown", "unknown"),
        ("unknown", "unknown", "unknown"),
    ]
    assert status.to_text().splitlines()[1] == "cluster: unknown, since the API server does not answer"
    shown = json.loads(status.to_json())
    assert shown["api"] == "unknown"
    assert {(node["provider"], node["host"]) for node in shown["nodes"]} == {("libvirt", "embedded")}


def test_what_does_not_run_is_known_not_to_answer(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    tools.hypervisor.stop_outside(Kind.DOMAIN, "local-virtual1-iec01")
    status = _status(layout, tools)
    assert (status.cluster, status.api) == (None, "-")
    assert [(node.ssh, node.kubernetes) for node in status.nodes] == [("-", "-"), ("ok", "-"), ("ok", "-")]


NOW = datetime.datetime(2026, 1, 2, 3, 0, 0, tzinfo=datetime.timezone.utc)


def _answers(cluster: DesiredCluster, record: dict[str, Any] | None) -> FakeShell:
    node = {
        "metadata": {"name": "iec01", "creationTimestamp": "2025-12-31T03:00:00Z"},
        "status": {"nodeInfo": {"kubeletVersion": "v1.20.2"}},
    }
    shell = FakeShell().on(*KUBECTL, "--raw=/api/v1/nodes", stdout=json.dumps({"items": [node]}))
    path = "--raw=/api/v1/namespaces/kube-system/configmaps/iecpod-verified"
    return (
        shell.on(*KUBECTL, path, stdout=json.dumps(record), returncode=0)
        if record
        else shell.on(*KUBECTL, path, stderr="Error from server (NotFound): no such configmap", returncode=1)
    )


def test_the_cluster_is_shown_by_two_requests(cluster: DesiredCluster) -> None:
    record = {
        "metadata": {
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"time": "2026-01-02T02:30:00Z"}, {"time": "2026-01-01T00:00:00Z"}],
        },
        "data": record_of(cluster),
    }
    shell = _answers(cluster, record)
    seen = look_at_cluster(Kubectl(shell), cluster, NOW)
    assert seen.status == ClusterStatus(
        version="v1.20.2", cni="bridge", age_seconds=172_800, verified=True, verified_seconds_ago=1800
    )
    assert str(seen.status) == "Kubernetes v1.20.2, CNI bridge, 2d old, verified 30m ago"
    assert len(shell.calls) == 2 and set(seen.nodes) == {"iec01"}


@pytest.mark.parametrize("record", [None, {"metadata": {}, "data": {"nodes": "iec01", "image": "nginx"}}])
def test_a_cluster_of_other_nodes_or_none_was_verified_for_this(
    cluster: DesiredCluster, record: dict[str, Any] | None
) -> None:
    seen = look_at_cluster(Kubectl(_answers(cluster, record)), cluster, NOW)
    assert str(seen.status) == "Kubernetes v1.20.2, CNI bridge, 2d old, not verified"


@pytest.mark.parametrize("answer", [CommandResult(1, "", "connection refused"), WaitTimeout("kubectl", 20, "")])
def test_an_api_server_that_does_not_answer_is_no_cluster(
    cluster: DesiredCluster, answer: CommandResult | Exception
) -> None:
    shell = FakeShell().reply(("kubectl",), answer)
    seen = look_at_cluster(Kubectl(shell), cluster, NOW)
    assert (seen.status, seen.nodes, seen.is_silent, len(shell.calls)) == (None, {}, True, 1)


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--detailed-exitcode",), 6)])
def test_the_exit_status_shows_drift_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int
) -> None:
    """On libvirt's test driver, which begins with what stands in its file."""
    ref = PodRef("local", "virtual1")
    network = resource_of(pods.admin_network(ref), dataclasses.replace(pods.STAMP, ref=ref))
    node = f"<node><cpu><cores>4</cores></cpu><memory>8000000</memory>{network.xml}</node>"
    put_in_place(monkeypatch, node, tmp_path)
    install(tmp_path)
    command = ("status", "-l", "local", "-p", "virtual1", "-c", TEST_URI, "-o", "json")
    result = run(tmp_path, *command, *options)
    assert result.exit_code == code, result.output
    (admin,) = (found for found in json.loads(result.stdout)["drift"] if found["name"] == "local-virtual1-admin")
    assert admin["differences"] == ["autostart off, not on"]
    assert not list((tmp_path / "state").rglob("keys")), "a look makes nothing"


def test_a_pod_that_is_not_there_has_no_drift_to_tell_of(tmp_path: Path) -> None:
    result = run(tmp_path, "status", "-l", "local", "-p", "virtual1", "--detailed-exitcode")
    assert (result.exit_code, result.stdout) == (0, "POD local/virtual1: absent\n")


def test_the_run_that_holds_the_lock_is_found(tmp_path: Path) -> None:
    with pod_lock(layout_below(tmp_path), PodRef("local", "virtual1"), wait_seconds=0):
        result = run(tmp_path, "status", "-l", "local", "-p", "virtual1", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["busy"]["pid"]) == (0, os.getpid())
