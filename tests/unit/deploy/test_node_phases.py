"""Phases on nodes, against shells that answer from a script."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from iecpod.deploy.kubectl.admin_conf import AdminConf
from iecpod.deploy.kubectl.bootstrap_token import ca_cert_hash, make_token
from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.node.systemd_job import START, WAIT, run_job
from iecpod.deploy.phases.control_plane import LOOK, ControlPlanePhase
from iecpod.deploy.phases.reachable import ReachablePhase
from iecpod.deploy.phases.ready import ReadyPhase
from iecpod.deploy.phases.runtime import RuntimePhase
from iecpod.deploy.phases.workers import LOOK as LOOK_AT_JOIN
from iecpod.deploy.phases.workers import WorkersPhase
from iecpod.design.cluster import DesiredCluster
from iecpod.design.deadline_factor import GuestSpeed
from iecpod.errors import CommandFailed, NodeError, NodeUnreachable, WaitTimeout
from iecpod.ports import BundleFiles, CommandResult
from iecpod.release.mirrors import Supply
from iecpod.render.low_overhead import render_patches
from tests.fakes import FakeShell, fake_phase_tools
from tests.fakes.jobs import jobs_of, on_job
from tests.fakes.probes import IN_PLACE, MISSING
from tests.unit.conftest import make_release, with_release
from tests.unit.deploy.admin_conf import admin_conf, credentials

UNIT = "x.service"


def _run_job(shell: FakeShell) -> None:
    run_job(shell, UNIT, ["kubeadm", "init"], seconds=60, tools=fake_phase_tools(), remedy="again")


def test_a_job_is_given_to_systemd_once() -> None:
    shell = on_job(FakeShell())
    _run_job(shell)
    assert jobs_of(shell) == [(UNIT, "kubeadm", "init")] and len(shell.calls) == 2


def test_a_cut_connection_does_not_end_the_wait() -> None:
    shell = FakeShell().on("sh", "-c", START).reply(("sh", "-c", WAIT), NodeUnreachable("iec01", "connection reset"))
    shell.on("sh", "-c", WAIT, stdout="running\n[wait-control-plane]\n")
    shell.on("sh", "-c", WAIT, stderr="Failed to connect to bus", returncode=1)
    _run_job(on_job(shell))
    assert jobs_of(shell) == [(UNIT, "kubeadm", "init")]


def test_what_systemd_does_not_say_is_no_end() -> None:
    shell = FakeShell().on("sh", "-c", START).on("sh", "-c", WAIT, stdout="Result=success\n")
    with pytest.raises(WaitTimeout):
        _run_job(shell)


def test_a_failed_job_shows_the_end_of_its_journal() -> None:
    shell = on_job(FakeShell(), result="exit-code", status=2, journal="[preflight] no\nResult=success\n")
    with pytest.raises(CommandFailed) as caught:
        _run_job(shell)
    assert caught.value.cause == "iec01: `kubeadm init` exited with 2\n[preflight] no\nResult=success"


_SYSTEMD = {
    "systemctl": """case "$1" in
is-active) cat state; cat next 2> /dev/null > state; test -s state ;;
show) test -e result && cat result || exit 1 ;;
*) echo "$@" >> calls ;;
esac""",
    "systemd-run": 'echo run "$@" >> calls',
    "journalctl": "echo $*",
    "sleep": ":",
}


def test_jobs_are_started_once_and_waited_for_by_shell_scripts(tmp_path: Path) -> None:
    for name, script in _SYSTEMD.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    def done(script: str, *arguments: str) -> tuple[int, str]:
        argv = ["sh", "-c", script, "job", *arguments]
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        result = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
        return result.returncode, result.stdout

    (tmp_path / "state").write_text("activating\n")
    (tmp_path / "next").write_text("activating\n")
    assert done(START, UNIT, "kubeadm", "init") == (0, "") and not (tmp_path / "calls").exists()
    assert done(WAIT, "2", UNIT) == (0, f"running\n--unit {UNIT} --lines 1 --output cat\n")
    (tmp_path / "next").write_text("inactive\n")
    assert done(WAIT, "2", UNIT) == (1, ""), "nothing is said of a job that systemd says nothing of"
    (tmp_path / "result").write_text("Result=success\nExecMainStatus=0\n")
    assert done(WAIT, "2", UNIT) == (0, "Result=success\nExecMainStatus=0\n")
    (tmp_path / "result").write_text("Result=exit-code\nExecMainStatus=1\n")
    assert done(WAIT, "2", UNIT)[1].splitlines()[2] == f"--unit {UNIT} --lines 40 --output cat"
    assert done(START, UNIT, "kubeadm", "a b") == (0, "")
    assert (tmp_path / "calls").read_text() == (
        f"reset-failed {UNIT}\nrun --unit={UNIT} --service-type=oneshot --no-block --quiet -- kubeadm a b\n"
    )


def _no_bundle(_hostname: str, _is_sent: bool) -> BundleFiles:
    raise AssertionError("no bundle is wanted")


def _runtime(
    shell: FakeShell, find_bundle: Callable[[str, bool], BundleFiles] = _no_bundle, *, low_overhead: bool
) -> RuntimePhase:
    tools = fake_phase_tools(GuestSpeed(1.0, low_overhead=low_overhead))
    return RuntimePhase(make_release(), Supply(), {"iec01": shell}, lambda _: b"", find_bundle, tools)


def test_a_bundle_that_the_image_lacks_is_sent_and_installed(tmp_path: Path) -> None:
    for name in ("runc.deb", "kubeadm", "images.tar"):
        (tmp_path / name).write_text(f"content of {name}")
    bundle = BundleFiles(
        debs=(tmp_path / "runc.deb",),
        programs=(tmp_path / "kubeadm",),
        images=(tmp_path / "images.tar",),
        references=("k8s.gcr.io/pause:3.2",),
    )
    shell = FakeShell().on("sh", "-c", stdout=MISSING).on("sh", "-euc").on("systemctl")
    _runtime(shell, lambda _hostname, _is_sent: bundle, low_overhead=False).run()
    below = "/var/cache/iecpod-bundle/"
    sent = {path.removeprefix(below) for path in shell.files if path.startswith(below)}
    assert sent == {"debs/runc.deb", "bin/kubeadm", "images/images.tar"}
    assert shell.files[below + "debs/runc.deb"] == b"content of runc.deb"
    assert "/etc/systemd/system/kubelet.service" in shell.files and "/etc/containerd/config.toml" in shell.files
    (install,) = (call for call in shell.calls if call[:2] == ("sh", "-euc"))
    assert install[3:] == ("install-bundle", "k8s.gcr.io/pause:3.2")


def test_a_bundle_that_is_half_installed_is_not_in_place() -> None:
    shell = FakeShell().on("sh", "-c", stdout=MISSING)
    assert _runtime(shell, low_overhead=False).probe() is None
    assert "test ! -e /var/cache/iecpod-bundle" in shell.calls[0][2]
    shell = FakeShell().on("sh", "-c", stdout=IN_PLACE)
    assert _runtime(shell, low_overhead=True).probe() == "containerd, Kubernetes 1.20.2"
    checked = {line.split()[1] for line in shell.calls[0][4].splitlines()}
    assert checked == {
        "/etc/containerd/config.toml",
        "/etc/modules-load.d/iecpod-kubernetes.conf",
        "/etc/sysctl.d/90-iecpod-kubernetes.conf",
        "/etc/systemd/system/containerd.service.d/20-iecpod-calm.conf",
        "/etc/systemd/system/kubelet.service.d/20-iecpod-calm.conf",
    }


@pytest.mark.parametrize("low_overhead", [True, False])
def test_only_on_emulated_guests_the_runtime_may_sleep_longer(low_overhead: bool) -> None:
    shell = FakeShell().on("systemctl").on("sh", "-c", stdout=IN_PLACE)
    _runtime(shell, low_overhead=low_overhead).run()
    drop_in = "/etc/systemd/system/{}.service.d/20-iecpod-calm.conf"
    slack = b"[Service]\nTimerSlackNSec=50000000ns\n"
    condition = b"[Unit]\nConditionPathExists=/var/lib/kubelet/config.yaml\n\n"
    wanted = {drop_in.format("containerd"): slack, drop_in.format("kubelet"): condition + slack}
    assert shell.files == (wanted if low_overhead else {})
    assert [call[-2:] for call in shell.calls if "slack" in call] == (
        [("containerd", "50000000")] if low_overhead else []
    )


def _control_plane(shell: FakeShell, cluster: DesiredCluster) -> ControlPlanePhase:
    return ControlPlanePhase(cluster, shell, fake_phase_tools(), AdminConf(cluster, shell))


def _looks(shell: FakeShell, *words: str) -> FakeShell:
    """What the node has: files, and the state of the unit."""
    *files, job = words
    said = [f"{name}={'yes' if name in files else 'no'}" for name in _ALL]
    return shell.on("sh", "-c", LOOK, stdout="\n".join([*said, f"job={job}", ""]))


_ALL = ("admin.conf", "manifests", "kube-scheduler.yaml")


def _said(word: str, *, job: str) -> str:
    """All files are there, or none."""
    return "".join([*(f"{name}={word}\n" for name in _ALL), f"job={job}\n"])


def test_init_that_broke_off_is_reset_first(cluster: DesiredCluster) -> None:
    shell = _looks(FakeShell(), *_ALL, "failed")
    shell.on("kubectl", returncode=1)
    shell.on("kubeadm", "reset").on("rm")
    on_job(shell)
    _control_plane(shell, cluster).run()
    assert shell.called("kubeadm", "reset", "--force", "--cri-socket=/run/containerd/containerd.sock")
    assert shell.modes == {"/etc/kubernetes/iecpod-init.yaml": 0o600}
    assert shell.called("rm", "-f", "/etc/kubernetes/iecpod-init.yaml")


def test_a_cluster_that_was_made_is_waited_for_and_never_reset(cluster: DesiredCluster) -> None:
    """Its node was powered off, or is busy: the API server does not answer yet. The reset would throw away its data."""
    daemon_set = '{"kind": "DaemonSet"}'
    shell = FakeShell().on("kubectl", returncode=1).on("kubectl", returncode=1).on("kubectl", stdout=daemon_set)
    _looks(shell, *_ALL, "inactive")
    phase = _control_plane(shell, cluster)
    assert phase.probe() is None
    phase.run()
    assert phase.probe() == "API server at 172.16.10.36:6443"
    assert not shell.called("kubeadm") and jobs_of(shell) == []


def test_a_cluster_whose_api_server_stays_away_is_not_reset_either(cluster: DesiredCluster) -> None:
    shell = FakeShell().on("kubectl", stderr="connection refused", returncode=1)
    _looks(shell, *_ALL, "inactive")
    with pytest.raises(WaitTimeout) as caught:
        _control_plane(shell, cluster).run()
    assert "the API server of the cluster that was made: not within 120 s; last seen: " in caught.value.cause
    assert "connection refused" in caught.value.cause
    assert "`iecpod redeploy -l local -p virtual1" in caught.value.remedy
    assert not shell.called("kubeadm") and jobs_of(shell) == []


def test_the_token_is_in_no_argument_list(cluster: DesiredCluster) -> None:
    shell = _looks(FakeShell(), "inactive").on("rm")
    on_job(shell)
    _control_plane(shell, cluster).run()
    config = shell.files["/etc/kubernetes/iecpod-init.yaml"].decode()
    token = next(line.split()[-1] for line in config.splitlines() if "token:" in line)
    assert len(token) == 23
    assert all(token not in argument for call in shell.calls for argument in call)
    assert jobs_of(shell) and any("--skip-token-print" in call for call in shell.calls)


def test_init_continues_where_the_api_server_answers(cluster: DesiredCluster) -> None:
    """The first init ends at a request of its own that took too long; nothing of it is thrown away."""
    shell = _looks(FakeShell(), "inactive").on("kubectl", stdout="{}")
    shell.on("rm")
    on_job(shell, result="exit-code", status=1, journal="context deadline exceeded\n")
    on_job(shell)
    _control_plane(shell, cluster).run()
    first, second = jobs_of(shell)
    assert not any("skip-phases" in argument for argument in first)
    assert second[-1] == "--skip-phases=preflight"
    corefile = "--raw=/api/v1/namespaces/kube-system/configmaps/coredns"
    (cleared,) = (number for number, call in enumerate(shell.calls) if call[-1] == corefile and "delete" in call)
    started = [number for number, call in enumerate(shell.calls) if "kubeadm" in call and "init" in call]
    assert started[0] < cleared < started[1], "kubeadm would look for an upgrade in it"
    assert not shell.called("kubeadm", "reset")


def test_emulated_guests_start_clients_of_the_api_server_after_it(cluster: DesiredCluster) -> None:
    shell = _looks(FakeShell(), "inactive").on("rm")
    on_job(shell)
    release = dataclasses.replace(cluster.release, coredns=False)
    cluster = dataclasses.replace(cluster, release=release, low_overhead=True)
    tools = fake_phase_tools(GuestSpeed(8.0, low_overhead=True))
    ControlPlanePhase(cluster, shell, tools, AdminConf(cluster, shell)).run()
    (script,) = (job[-1] for job in jobs_of(shell))
    config = "--config=/etc/kubernetes/iecpod-init.yaml"
    assert script.split(" && ") == [
        f"kubeadm init {config} --skip-token-print"
        " --skip-phases=preflight,addon/coredns,control-plane/controller-manager,control-plane/scheduler",
        f"kubeadm init phase control-plane controller-manager {config}",
        f"kubeadm init phase control-plane scheduler {config}",
    ]


def test_since_1_33_emulated_guests_have_a_plain_init_with_patches(cluster: DesiredCluster, tmp_path: Path) -> None:
    """It waits for all three components, and reads their manifests: none may be left out."""
    shell = _looks(FakeShell(), "inactive").on("rm").on("sh", "-euc").on("sh", "-c")
    on_job(shell)
    cluster = dataclasses.replace(with_release(cluster, "1.37.2"), low_overhead=True)
    tools = fake_phase_tools(GuestSpeed(8.0, low_overhead=True))
    ControlPlanePhase(cluster, shell, tools, AdminConf(cluster, shell)).run()
    (started,) = jobs_of(shell)
    config = "--config=/etc/kubernetes/iecpod-init.yaml"
    assert started[1:] == ("kubeadm", "init", config, "--skip-token-print")
    (written,) = (call for call in shell.calls if call[:2] == ("sh", "-euc"))
    assert written[4] == "/etc/kubernetes/iecpod-patches"
    assert shell.calls.index(written) < next(index for index, call in enumerate(shell.calls) if START in call)
    subprocess.run([*written[:4], str(tmp_path / "patches"), *written[5:]], check=True)
    found = {path.name: path.read_text() for path in (tmp_path / "patches").iterdir()}
    assert found == render_patches("1.37.2")


def test_control_plane_is_not_in_place_while_init_runs(cluster: DesiredCluster) -> None:
    shell = _looks(FakeShell(), *_ALL, "activating")
    assert _control_plane(shell, cluster).probe() is None


def test_a_node_that_says_nothing_has_not_said_that_there_is_nothing(cluster: DesiredCluster) -> None:
    for printed in ("", "job=\n", "inactive\n", "manifests\nkube-scheduler.yaml\n", _said("yes", job="")):
        phase = _control_plane(FakeShell().on("sh", "-c", LOOK, stdout=printed), cluster)
        for look in (phase.probe, phase.run):
            with pytest.raises(WaitTimeout, match="does not say"):
                look()


def test_the_look_is_a_shell_script_that_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho activating\nexit 3\n")
    (tmp_path / "systemctl").chmod(0o755)
    manifests = tmp_path / "manifests"
    argv = ["sh", "-c", LOOK, "look", str(tmp_path / "admin.conf"), str(manifests), UNIT]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    def looked() -> str:
        return subprocess.run(argv, capture_output=True, text=True, env=environment, check=True).stdout

    assert looked() == _said("no", job="activating")
    manifests.mkdir()
    (manifests / "kube-scheduler.yaml").touch()
    assert looked() == "admin.conf=no\nmanifests=yes\nkube-scheduler.yaml=yes\njob=activating\n"
    (tmp_path / "admin.conf").touch()
    assert looked() == _said("yes", job="activating")
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n")
    assert looked() == _said("yes", job="")


def test_what_was_read_before_an_init_is_read_again_after_it(cluster: DesiredCluster) -> None:
    shell = _looks(FakeShell(), *_ALL, "failed").on("kubectl", returncode=1).on("kubeadm").on("rm").on("sh", "-c")
    on_job(shell)
    shell.files["/etc/kubernetes/admin.conf"] = admin_conf()
    kept = AdminConf(cluster, shell)
    assert kept.find() == credentials()
    ControlPlanePhase(cluster, shell, fake_phase_tools(), kept).run()
    del shell.files["/etc/kubernetes/admin.conf"]
    assert kept.find() is None


def _reachable(shell: FakeShell, console: str) -> ReachablePhase:
    return ReachablePhase({"iec01": shell}, fake_phase_tools(console=console))


def test_a_silent_kernel_is_an_error_with_a_remedy() -> None:
    shell = FakeShell().reply(("true",), NodeUnreachable("iec01", "no route to host"))
    with pytest.raises(WaitTimeout) as caught:
        _reachable(shell, "BdsDxe: starting Boot0001").run()
    assert caught.value.cause == (
        "iec01: a kernel that prints to the serial console: not within 45 s; last seen: BdsDxe: starting Boot0001"
    )
    assert "--virt-type qemu" in caught.value.remedy


def test_a_guest_that_does_not_answer_says_why_on_its_console() -> None:
    console = "Linux version 6.1\r\ncloud-init[9]: RuntimeError: Failed to apply network config names\r\niec01 login: "
    shell = FakeShell().reply(("true",), NodeUnreachable("iec01", "No route to host"))
    with pytest.raises(WaitTimeout) as caught:
        _reachable(shell, console).run()
    assert caught.value.last_seen == (
        "No route to host; console: cloud-init[9]: RuntimeError: Failed to apply network config names"
    )


def test_cloud_init_that_failed_is_reported() -> None:
    shell = FakeShell().on("true")
    shell.on("sh", "-c", stdout="20\n" + json.dumps({"v1": {"errors": ["('ntp', RuntimeError())"]}}))
    with pytest.raises(NodeError) as caught:
        _reachable(shell, "Linux version 6.1").run()
    assert caught.value.cause == "iec01: cloud-init failed: ('ntp', RuntimeError())"


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("20\n", "/run/cloud-init/result.json: not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("20\n[]", "/run/cloud-init/result.json: an object is expected, not a list"),
        ('20\n{"v1": null}', "/run/cloud-init/result.json: `v1` is missing"),
        ('20\n{"v1": {"errors": {}}}', "/run/cloud-init/result.json: v1.errors: a list is expected, not an object"),
        ("20\n" + "[" * 100_000, "/run/cloud-init/result.json: nested deeper than 64 levels"),
        ("nan\n{}", "'nan' is no time of boot"),
        ("1e999\n{}", "'1e999' is no time of boot"),
        ("", "'' is no time of boot"),
    ],
)
def test_odd_words_of_a_guest_are_its_error(printed: str, shown: str) -> None:
    with pytest.raises(NodeError) as caught:
        _reachable(FakeShell().on("true").on("sh", "-c", stdout=printed), "Linux version 6.1").run()
    assert caught.value.cause == f"iec01: it answers with something unexpected: {shown}"


_LISTS_THE_FIRST = '{"items": [{"metadata": {"name": "iec01"}}]}'
_FRESH, _BEGUN = "kubelet.conf=no\njob=inactive\n", "kubelet.conf=yes\njob=inactive\n"
_RUNNING = "kubelet.conf=no\njob=activating\n"


def test_a_guest_that_goes_away_in_its_join_is_a_timeout_with_its_console(cluster: DesiredCluster) -> None:
    first = FakeShell("iec01").on("kubectl", stdout=_LISTS_THE_FIRST)
    first.on("openssl", stdout=(Path(__file__).parents[1] / "data" / "ca.pub").read_text())
    away = FakeShell("iec02").on("sh", "-c", LOOK_AT_JOIN, stdout=_RUNNING).on("sh", "-c", START).on("mkdir")
    for command in (("sh",), ("rm",)):
        away.reply(command, NodeUnreachable("iec02", "no route to host"))
    one_worker = dataclasses.replace(cluster, nodes=cluster.nodes[:2])
    phase = WorkersPhase(one_worker, {"iec01": first, "iec02": away}, fake_phase_tools(console="reboot: Power down\n"))
    with pytest.raises(WaitTimeout) as caught:
        phase.run()
    assert caught.value.last_seen == "no route to host"
    assert caught.value.evidence.splitlines()[-1] == "    reboot: Power down"
    assert "iecpod console -l local -p virtual1 iec02" in caught.value.remedy
    deleted = [call[3] for call in first.calls if "delete" in call]
    assert deleted[-1].startswith("--raw=/api/v1/namespaces/kube-system/secrets/bootstrap-token-")


_KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
_RECORD = "--raw=/api/v1/namespaces/kube-system/configmaps/iecpod-verified"


def _control_plane_that_lists(*names: str) -> FakeShell:
    listing = json.dumps({"items": [{"metadata": {"name": name}} for name in names]})
    shell = FakeShell("iec01").on(*_KUBECTL, "get", "--raw=/api/v1/nodes", stdout=listing)
    shell.on("openssl", stdout=(Path(__file__).parents[1] / "data" / "ca.pub").read_text())
    shell.on(*_KUBECTL, "create").on(*_KUBECTL, "delete")
    shell.on(*_KUBECTL, "delete", _RECORD, stderr="Error from server (NotFound): x", returncode=1)
    return shell


def _worker(*looks: str) -> FakeShell:
    """What is seen of its join, each time that it is looked at."""
    shell = on_job(FakeShell("iec02").on("mkdir").on("rm"))
    for said in looks:
        shell.on("sh", "-c", LOOK_AT_JOIN, stdout=said)
    return shell


def _workers(cluster: DesiredCluster, first: FakeShell, second: FakeShell) -> WorkersPhase:
    one_worker = dataclasses.replace(cluster, nodes=cluster.nodes[:2])
    return WorkersPhase(one_worker, {"iec01": first, "iec02": second}, fake_phase_tools())


def test_a_recreated_machine_takes_the_place_of_the_former_one(cluster: DesiredCluster) -> None:
    """The cluster lists its name still, and knows it as verified."""
    first, second = _control_plane_that_lists("iec01", "iec02"), _worker(_FRESH)
    first.on(*_KUBECTL, "delete", "--raw=/api/v1/nodes/iec02", stdout="{}")
    phase = _workers(cluster, first, second)
    assert phase.probe() is None
    second = _worker(_FRESH)
    _workers(cluster, first, second).run()
    deleted = [call for call in first.calls if call[:3] == (*_KUBECTL, "delete")]
    created = next(index for index, call in enumerate(first.calls) if call[2] == "create")
    assert first.calls.index(deleted[1]) < created, "it leaves before its token is made"
    assert deleted.pop()[3].startswith("--raw=/api/v1/namespaces/kube-system/secrets/bootstrap-token-")
    assert [call[3] for call in deleted] == [_RECORD, "--raw=/api/v1/nodes/iec02"]
    assert jobs_of(second) and not second.called("kubeadm", "reset")


def test_a_node_whose_join_is_running_is_not_taken_out(cluster: DesiredCluster) -> None:
    """It is listed since a moment ago, by the join of a run that was killed."""
    first, second = _control_plane_that_lists("iec01", "iec02"), _worker(_RUNNING)
    _workers(cluster, first, second).run()
    assert not first.called(*_KUBECTL, "delete", "--raw=/api/v1/nodes/iec02")
    assert not second.called("kubeadm", "reset") and second.files == {}


def test_the_look_at_a_join_says_how_far_it_came(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\ncat state\n")
    (tmp_path / "systemctl").chmod(0o755)
    argv = ["sh", "-c", LOOK_AT_JOIN, "look", "kubelet.conf", UNIT]

    def looked() -> str:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True).stdout

    (tmp_path / "state").write_text("inactive\n")
    assert looked() == _FRESH
    (tmp_path / "kubelet.conf").touch()
    assert looked() == _BEGUN
    (tmp_path / "state").write_text("activating\n")
    assert looked() == "kubelet.conf=yes\njob=activating\n"
    (tmp_path / "state").write_text("")
    assert looked() == "kubelet.conf=yes\njob=\n"


def test_workers_that_have_joined_are_in_place(cluster: DesiredCluster) -> None:
    first, second = _control_plane_that_lists("iec01", "iec02"), _worker(_BEGUN)
    assert _workers(cluster, first, second).probe() == "1 joined"


def test_discarding_what_is_not_there_is_no_error_and_a_refusal_is_one() -> None:
    shell = FakeShell().on("kubectl", stderr='Error from server (NotFound): nodes "iec02" not found', returncode=1)
    Kubectl(shell).discard("/api/v1/nodes/iec02")
    assert shell.calls == [(*_KUBECTL, "delete", "--raw=/api/v1/nodes/iec02")]
    shell = FakeShell().on("kubectl", stderr="Error from server (Forbidden): no", returncode=1)
    with pytest.raises(CommandFailed):
        Kubectl(shell).discard("/api/v1/nodes/iec02")


def _node(name: str, address: str, ready: str, boot: str = "") -> dict[str, object]:
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": "100.100.0.0/24"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": ready, "message": "runtime network not ready"}],
            "nodeInfo": {"bootID": boot},
        },
    }


def test_readiness_names_what_is_missing_on_each_node(cluster: DesiredCluster) -> None:
    items = [_node("iec01", "192.168.11.21", "True"), _node("iec02", "172.16.10.37", "False")]
    phase = _ready(cluster, items, boot="")
    assert phase.probe() is None
    with pytest.raises(WaitTimeout) as caught:
        phase.run()
    assert caught.value.last_seen == (
        "iec01 has address 192.168.11.21, not 172.16.10.36; iec02 is NotReady: runtime network not ready; "
        "iec03 has not joined"
    )
    assert caught.value.evidence.startswith("console of iec01"), "where all pods run, none is named"


_SYSTEM_PODS = (
    *("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get"),
    "--raw=/api/v1/namespaces/kube-system/pods",
)


def test_readiness_that_does_not_come_names_pods_and_images_once(cluster: DesiredCluster) -> None:
    image = "docker.io/calico/node:v3.24.6"
    waiting = {"image": image, "ready": False, "state": {"waiting": {"reason": "ErrImagePull"}}}
    fine = {"image": "etcd", "ready": True, "state": {"running": {}}}
    pods = [
        {"metadata": {"name": "calico-node-x"}, "status": {"phase": "Pending", "containerStatuses": [waiting]}},
        {"metadata": {"name": "etcd-iec01"}, "status": {"phase": "Running", "containerStatuses": [fine]}},
    ]
    shell = FakeShell().on("kubectl", stdout=json.dumps({"items": [_node("iec02", "172.16.10.37", "False")]}))
    shell.on(*_SYSTEM_PODS, stdout=json.dumps({"items": pods}))
    with pytest.raises(WaitTimeout) as caught:
        ReadyPhase(cluster, _all(cluster, shell), fake_phase_tools(console="login:")).run()
    assert caught.value.evidence == (
        f"pods of kube-system that do not run:\n    calico-node-x: ErrImagePull {image}\n"
        "console of iec01, its last lines:\n    login:"
    )
    assert shell.calls.count(_SYSTEM_PODS) == 1 and shell.calls[-1] == _SYSTEM_PODS


@pytest.mark.parametrize(
    "answer",
    [CommandResult(1, "", "connection refused"), NodeUnreachable("iec01", "no answer"), WaitTimeout("get", 60, "")],
)
def test_readiness_that_does_not_come_is_reported_when_pods_cannot_be_seen(
    cluster: DesiredCluster, answer: CommandResult | Exception
) -> None:
    shell = FakeShell().on("kubectl", stdout='{"items": []}').reply(_SYSTEM_PODS, answer)
    with pytest.raises(WaitTimeout) as caught:
        ReadyPhase(cluster, _all(cluster, shell), fake_phase_tools()).run()
    assert "iec03 has not joined" in caught.value.cause and caught.value.evidence.startswith("console of iec01")


def _ready(cluster: DesiredCluster, items: list[dict[str, object]], boot: str) -> ReadyPhase:
    shells = {node.hostname: FakeShell(node.hostname).on("cat", stdout=f"{boot}\n") for node in cluster.nodes}
    shells["iec01"].on("kubectl", stdout=json.dumps({"items": items})).on(*_SYSTEM_PODS, stdout='{"items": []}')
    return ReadyPhase(cluster, shells, fake_phase_tools())


def _all(cluster: DesiredCluster, first: FakeShell) -> dict[str, FakeShell]:
    """The nodes, of which the first answers as the test says."""
    others = {node.hostname: FakeShell(node.hostname).on("cat", stdout="\n") for node in cluster.workers}
    return {"iec01": first.on("cat", stdout="\n"), **others}


def test_what_a_node_said_before_it_booted_does_not_count(cluster: DesiredCluster) -> None:
    """It is Ready to the API server for as long as that has not missed it."""
    items = [
        _node(node.hostname, str(node.address), "True", "new" if index else "old")
        for index, node in enumerate(cluster.nodes)
    ]
    phase = _ready(cluster, items, boot="new")
    assert phase.probe() is None
    with pytest.raises(WaitTimeout) as caught:
        phase.run()
    assert caught.value.last_seen == "iec01 has not reported since it booted"
    items[0] = _node("iec01", "172.16.10.36", "True", "new")
    assert _ready(cluster, items, boot="new").probe() == "3 nodes Ready"


def test_tokens_and_ca_pins_have_kubeadms_form() -> None:
    identifier, secret = make_token().split(".")
    assert (len(identifier), len(secret)) == (6, 16)
    pem = (Path(__file__).parents[1] / "data" / "ca.pub").read_bytes()
    expected = (Path(__file__).parents[1] / "data" / "ca.pub.pin").read_text().strip()
    assert ca_cert_hash(pem) == expected


@pytest.mark.parametrize("answer", ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_ca_that_cannot_be_read_is_the_nodes_fault(cluster: DesiredCluster, answer: str) -> None:
    shells = {node.hostname: FakeShell(node.hostname).on("sh", "-c", returncode=1) for node in cluster.nodes}
    shells["iec01"].on("kubectl", stdout=_LISTS_THE_FIRST).on("openssl", stdout=answer)
    with pytest.raises(NodeError, match="has no public key that can be read"):
        WorkersPhase(cluster, shells, fake_phase_tools()).run()


def test_an_object_is_missing_only_where_the_api_server_says_so() -> None:
    missing = CommandResult(1, "", 'Error from server (NotFound): configmaps "iecpod-verified" not found')
    silent = CommandResult(1, "", "The connection to the server 172.16.10.36:6443 was refused")
    shell = FakeShell().reply(("kubectl",), missing).reply(("kubectl",), silent)
    assert Kubectl(shell).find("/api/v1/x") is None
    with pytest.raises(CommandFailed, match="refused"):
        Kubectl(shell).find("/api/v1/x")


def test_a_probe_waits_for_an_api_server_that_restarts() -> None:
    silent = CommandResult(1, "", "The connection to the server 172.16.10.36:6443 was refused")
    shell = FakeShell().reply(("kubectl",), silent).reply(("kubectl",), NodeUnreachable("iec01", "no route"))
    shell.on("kubectl", stdout="{}")
    found = Kubectl(shell).find_awaited("/api/v1/x", fake_phase_tools().waits)
    assert found is not None and found.value == {}
