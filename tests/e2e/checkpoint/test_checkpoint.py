"""A living POD is saved while it works, removed, and restored; what is damaged or killed on the way harms nothing."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.checkpoint.later import later
from tests.e2e.checkpoint.saved_pod import SavedPod
from tests.e2e.command import HOSTNAMES
from tests.e2e.verified_pod import checkpoints

#: As root on the first node: the administrator's certificate, as a year would leave it.
SHORT_LIVED = """
kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system get configmap kubeadm-config \\
    -o 'jsonpath={.data.ClusterConfiguration}' > /run/short-lived.yaml
echo 'certificateValidityPeriod: 240h0m0s' >> /run/short-lived.yaml
kubeadm certs renew admin.conf --config /run/short-lived.yaml
"""


@pytest.fixture(scope="module")
def saved(pod: SavedPod) -> str:
    """The id of a checkpoint that was saved while the POD worked."""
    pod.start_work()
    done = pod.checkpoint("save")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1].rstrip(":")


def test_the_pod_runs_on(pod: SavedPod, saved: str) -> None:
    before = pod.counts()
    time.sleep(5)
    assert all(count > before[node] for node, count in pod.counts().items())
    assert pod.ready_nodes() == set(HOSTNAMES)
    assert max(pod.seconds_off().values()) < 5
    assert pod.verify(saved) == 0


def test_nobody_else_reads_it(pod: SavedPod, saved: str) -> None:
    directory = pod.directory(saved)
    assert directory.stat().st_mode & 0o777 == 0o700
    layers = list((directory.parents[1] / "layers").glob(f"{saved}-*"))
    assert len(layers) == 3 and {layer.stat().st_mode & 0o007 for layer in layers} == {0}


def test_after_a_teardown_everything_is_as_at_the_instant(pod: SavedPod, saved: str) -> None:
    counts, boots, workers = pod.counts(), pod.boots(), pod.workers_of("work")
    pod.command.check("teardown")
    began_at = time.monotonic()
    done = pod.checkpoint("restore")
    assert done.returncode == 0, done.stderr
    assert pod.ready_nodes() == set(HOSTNAMES)
    print(f"restored, and three nodes Ready, after {time.monotonic() - began_at:.1f} s")
    assert pod.boots() == boots
    assert all(count < counts[node] + 600 for node, count in pod.counts().items())
    assert pod.workers_of("work") == workers
    assert max(pod.seconds_off().values()) < 5
    assert pod.command.kubectl("exec", "deployment/work", "--", "true") == ""


def test_the_restored_pod_is_what_a_deploy_would_make(pod: SavedPod, saved: str) -> None:
    assert pod.command.run("plan", "--detailed-exitcode").returncode == 0
    assert f"{saved} of " in pod.command.check("plan")
    pod.verify_anew()


def test_a_second_restore_asks_for_replace_and_counts_from_the_same_instant(pod: SavedPod, saved: str) -> None:
    refused = pod.checkpoint("restore", saved)
    assert refused.returncode == 4 and "--replace" in refused.stderr
    before = pod.counts()
    done = pod.checkpoint("restore", saved, "--replace")
    assert done.returncode == 0, done.stderr
    assert all(count < before[node] for node, count in pod.counts().items())
    assert pod.ready_nodes() == set(HOSTNAMES)


def test_redeploy_takes_what_fits_and_says_what_does_not(pod: SavedPod, saved: str) -> None:
    began_at = time.monotonic()
    done = pod.command.run("redeploy", "--checkpoint")
    assert done.returncode == 0, done.stderr
    print(f"redeployed from the checkpoint after {time.monotonic() - began_at:.1f} s")
    assert f"checkpoint {saved} fits" in done.stderr
    plan = pod.command.run("plan", "--memory", "3G")
    assert plan.returncode == 4, "the machines would have to be recreated"
    assert f"none fits: {saved} was made with another definition of iec01" in plan.stdout


@pytest.mark.parametrize("part", ["memory-iec02", "layer", "no layer"])
def test_what_is_damaged_is_refused_while_the_pod_stands(pod: SavedPod, saved: str, part: str) -> None:
    layer = pod.directory(saved).parents[1] / "layers" / f"{saved}-iec02.qcow2"
    damaged = pod.directory(saved) / part if part.startswith("memory") else layer
    boots, kept = pod.boots(), damaged.with_name("kept")
    shutil.copy2(damaged, kept)
    owner = damaged.stat()
    damaged.unlink()
    if part != "no layer":
        shutil.copy2(kept, damaged)
        damaged.chmod(0o600)
        with damaged.open("r+b") as file:
            file.seek(owner.st_size // 2)
            file.write(b"\xff" * 4096)
        os.utime(damaged)
    try:
        refused = pod.checkpoint("restore", saved, "--replace")
        assert refused.returncode == 4 and str(damaged) in refused.stderr
        assert pod.verify(saved) == 4
    finally:
        kept.rename(damaged)
        os.chown(damaged, owner.st_uid, owner.st_gid)
        damaged.chmod(owner.st_mode & 0o777)
    assert pod.verify(saved) == 0
    assert pod.boots() == boots


@pytest.mark.parametrize("printed", ["preparing the nodes", "saving all machines at one instant", "computing digests"])
def test_a_save_that_is_killed_leaves_a_pod_that_runs_on(pod: SavedPod, saved: str, printed: str) -> None:
    boots, before = pod.boots(), checkpoints(pod.command)
    pod.kill_when(pod.start("save", "--name", "killed"), printed)
    deadline = time.monotonic() + 300
    while "paused" in pod.command.virsh("list", "--all"):
        assert time.monotonic() < deadline, "whoever was paused is resumed"
        time.sleep(1)
    assert pod.boots() == boots and pod.ready_nodes() == set(HOSTNAMES)
    assert [one["id"] for one in checkpoints(pod.command)] == [one["id"] for one in before]
    counts = pod.counts()
    time.sleep(3)
    assert all(count > counts[node] for node, count in pod.counts().items())


@pytest.mark.parametrize("phase", ["networks", "domains", "reachable"])
def test_a_restore_that_is_killed_is_repeated(pod: SavedPod, saved: str, phase: str) -> None:
    pod.kill_when(pod.start("restore", saved, "--replace"), f"phase {phase}")
    assert pod.verify(saved) == 0
    done = pod.checkpoint("restore", saved)
    assert done.returncode == 0, done.stderr
    assert pod.ready_nodes() == set(HOSTNAMES)


def test_certificates_that_end_soon_are_renewed(pod: SavedPod, saved: str) -> None:
    pod.command.on_node("iec01", "sudo", "sh", "-euc", SHORT_LIVED)
    pod.command.check("deploy")  # which takes the new one over
    assert pod.certificate_days() <= 10
    done = pod.checkpoint("save", "--name", "old")
    assert done.returncode == 0, done.stderr
    kubelets = pod.kubelet_certificates()
    done = pod.checkpoint("restore", "old", "--replace")
    assert done.returncode == 0, done.stderr
    phases = {phase["name"]: phase["outcome"] for phase in pod.command.report()["phases"]}
    assert phases["certificates"] == "done"
    assert pod.certificate_days() > 300
    assert pod.ready_nodes() == set(HOSTNAMES)
    assert all(digest != kubelets[node] for node, digest in pod.kubelet_certificates().items())
    assert pod.command.kubectl("exec", "deployment/work", "--", "true") == ""


@pytest.mark.parametrize("days", [40, 400])
def test_days_later_the_whole_cluster_works(pod: SavedPod, saved: str, tmp_path: Path, days: int) -> None:
    """All tokens have ended after 40 days; after 400, all certificates that kubeadm made have.

    The controller manager has to work for the pods with which the cluster is verified.
    """
    pod.command.check("teardown")
    with later(days, tmp_path, pod.command.cache_dir) as prefix:
        later_pod = SavedPod(replace(pod.command, prefix=prefix))
        try:
            began_at = time.monotonic()
            done = later_pod.checkpoint("restore", saved)
            assert done.returncode == 0, done.stderr
            print(f"restored {days} days later, after {time.monotonic() - began_at:.1f} s")
            assert all(abs(seconds - days * 86400) < 60 for seconds in later_pod.seconds_off().values())
            assert later_pod.ready_nodes() == set(HOSTNAMES)
            later_pod.verify_anew()
            assert later_pod.command.kubectl("exec", "deployment/work", "--", "true") == ""
        finally:
            later_pod.command.check("teardown")
