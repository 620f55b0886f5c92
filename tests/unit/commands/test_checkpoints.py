"""Checkpoints of a POD: saved at one instant, compared by what decides the POD, and restored or refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from iecpod.cache.qcow2 import find_chain
from iecpod.checkpoints.manifest import read_manifest
from iecpod.commands.checkpoint.redeploy import redeploy_with_checkpoint
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.commands.teardown import teardown
from iecpod.deploy.node.guest_instant import SETTLE
from iecpod.errors import HostError, PreflightError, UsageError
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.pods.checkpoint_choice import choose_checkpoint, find_fit
from iecpod.providers.libvirt.objects import Kind
from iecpod.providers.libvirt.removal import Removal
from tests import pods
from tests.fakes.pod_tools import NODES, REF
from tests.pods import site
from tests.unit.command_line import layout_below
from tests.unit.commands.checkpoint_pod import CheckpointPod
from tests.unit.commands.test_commands import resolve


@pytest.fixture
def pod(tmp_path: Path) -> CheckpointPod:
    made = CheckpointPod(tmp_path, layout_below(tmp_path))
    made.deploy()
    return made


def _decompressed(memory: Path) -> str:
    return subprocess.run(["zstd", "-dc", memory], capture_output=True, text=True, check=True).stdout


def _teardown(pod: CheckpointPod) -> None:
    teardown(pod.tools, site(EMBEDDED))
    assert not pod.tools.pod_dir.exists() and pod.tools.hypervisor.observe() == ()


def test_all_machines_are_paused_when_the_first_is_saved_and_run_afterwards(pod: CheckpointPod) -> None:
    saved = pod.save()
    directory = pod.store.directory(saved.checkpoint.id)
    together = " ".join(f"local-virtual1-{node}" for node in NODES)
    assert {_decompressed(directory / f"memory-{node}") for node in NODES} == {together}
    assert all(pod.states().values())
    assert (directory / "nvram-iec02").read_bytes() == b"UEFI of local-virtual1-iec02"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in directory.rglob("*") if path.is_file()} <= {0, 0o044}
    assert (directory / "pod/kubeconfig").stat().st_mode & 0o777 == 0o600


def test_disks_become_layers_and_machines_go_over_to_new_ones(pod: CheckpointPod) -> None:
    image = pod.layout.cache_dir / "images" / f"{'0' * 64}.qcow2"
    first = pod.save()
    layer = pod.store.layer(f"{first.checkpoint.id}-iec01.qcow2")
    assert pod.disk("iec01").name == f"iec01-{first.checkpoint.id}.qcow2"
    assert list(find_chain(pod.disk("iec01"))) == [layer, image]
    second = pod.save("mine")
    names = [stored.name for stored in second.checkpoint.machines[0].layers]
    assert names == [f"{second.checkpoint.id}-iec01.qcow2", layer.name]
    assert layer.stat().st_nlink == 2, "it was not copied"
    assert layer.stat().st_mode & 0o777 == 0o440


def test_a_deep_chain_is_flattened_before_it_grows(pod: CheckpointPod) -> None:
    for number in range(5):
        pod.save(f"n{number}")
    assert pod.tools.hypervisor.pulled[0] == (
        "local-virtual1-iec01",
        str(pod.layout.cache_dir / f"images/{'0' * 64}.qcow2"),
    )


def test_a_manifest_reads_as_it_was_written(pod: CheckpointPod) -> None:
    checkpoint = pod.save("mine").checkpoint
    assert read_manifest(checkpoint.to_json().encode()) == checkpoint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 2', '"version": 1'),
        ('"nvram-iec01"', '"../nvram-iec01"'),
        ('"nvram-iec01"', '"/etc/passwd"'),
        ('"hostname": "iec01"', '"hostname": ".."'),
        ('"lab": "local"', '"lab": "../x"'),
        ('"machines": [', '"machines": 3, "others": ['),
    ],
)
def test_a_manifest_that_leads_elsewhere_is_damaged(pod: CheckpointPod, old: str, new: str) -> None:
    text = pod.save().checkpoint.to_json()
    assert old in text
    with pytest.raises(ValueError):
        read_manifest(text.replace(old, new).encode())


def test_after_a_teardown_the_pod_is_as_it_was(pod: CheckpointPod) -> None:
    saved = pod.save()
    kubeconfig = pod.tools.kubeconfig_path.read_text()
    key = (pod.tools.pod_dir / "keys/id_ed25519").read_bytes()
    _teardown(pod)
    report = pod.restore(saved)
    assert report.outcome == "done" and pod.reports[-1] == report
    assert [phase.name for phase in report.phases if phase.outcome == "done"] == ["networks", "storage", "domains"]
    assert (pod.tools.kubeconfig_path.read_text(), (pod.tools.pod_dir / "keys/id_ed25519").read_bytes()) == (
        kubeconfig,
        key,
    )
    assert set(pod.tools.hypervisor.loaded) == {f"local-virtual1-{node}" for node in NODES}
    assert all(pod.states().values())
    assert next(find_chain(pod.disk("iec03"))) == pod.store.layer(f"{saved.checkpoint.id}-iec03.qcow2")
    assert not make_pod_plan(resolve(pod.layout), pod.tools).planned.plan.pending, "the restored POD is unchanged"
    _teardown(pod)
    assert pod.restore(saved).outcome == "done", "and again"


def test_no_node_is_asked_whose_kubelet_answers(pod: CheckpointPod) -> None:
    saved = pod.save()
    asked = len(pod.tools.node_shells["iec02"].calls)
    phases = {phase.name: phase for phase in pod.restore(saved, may_replace=True).phases}
    known = "3 nodes Ready, their kubelets within 2 s of the host's time"
    assert phases["reachable"].detail == phases["clock"].detail == known
    assert len(pod.tools.node_shells["iec02"].calls) == asked


def test_nodes_are_asked_where_kubelets_have_another_time(pod: CheckpointPod) -> None:
    saved = pod.save()
    pod.tools.seconds_off = -3600.0
    phases = {phase.name: phase for phase in pod.restore(saved, may_replace=True).phases}
    assert phases["reachable"].detail == "3 nodes answer"
    assert phases["clock"].detail == "3 within 2 s of the host's"


def test_a_pod_that_stands_is_replaced_only_when_asked(pod: CheckpointPod) -> None:
    saved = pod.save()
    with pytest.raises(PreflightError) as caught:
        pod.restore(saved)
    assert [problem.rule for problem in caught.value.problems] == ["checkpoint-pod-stands"]
    assert pod.tools.hypervisor.loaded == {}
    assert pod.restore(saved, may_replace=True).outcome == "done"
    assert len(pod.tools.hypervisor.loaded) == 3


@pytest.mark.parametrize("file", ["memory-iec02", "nvram-iec01", "pod/kubeconfig"])
def test_a_damaged_file_is_found_before_the_pod_is_touched(pod: CheckpointPod, file: str) -> None:
    saved = pod.save()
    damaged = pod.store.directory(saved.checkpoint.id) / file
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    with pytest.raises(PreflightError) as caught:
        pod.restore(saved, may_replace=True)
    assert [(problem.file, problem.message) for problem in caught.value.problems] == [
        (str(damaged), "its digest is another")
    ]
    assert all(pod.states().values()) and pod.tools.hypervisor.loaded == {}


def test_missing_layers_and_images_are_found_together(pod: CheckpointPod) -> None:
    saved = pod.save()
    layer = pod.store.layer(f"{saved.checkpoint.id}-iec03.qcow2")
    layer.unlink()
    (pod.layout.cache_dir / "images" / f"{'0' * 64}.qcow2").unlink()
    with pytest.raises(PreflightError) as caught:
        pod.restore(saved, may_replace=True)
    assert [problem.message for problem in caught.value.problems] == [
        "it is missing",
        "the base image of its disks is missing",
    ]


def test_a_machine_that_goes_takes_the_disks_that_checkpoints_gave_it(pod: CheckpointPod) -> None:
    first, second = pod.save("first").checkpoint.id, pod.save("second").checkpoint.id
    volumes = _volumes(pod)
    assert {f"iec03-{first}.qcow2", f"iec03-{second}.qcow2"} <= volumes
    removal = Removal(pod.tools.hypervisor, pod.tools.owner, pod.tools.reporter)
    removal.remove_domains(["local-virtual1-iec03"])
    assert volumes - _volumes(pod) == {f"iec03-{first}.qcow2", f"iec03-{second}.qcow2"}
    removal.remove_machines(["iec02"])
    assert not [name for name in _volumes(pod) if name.startswith("iec02")]
    assert len([name for name in _volumes(pod) if name.startswith("iec01")]) == 4, "those of others stay"
    assert pod.store.layer(f"{first}-iec03.qcow2").exists()


def _volumes(pod: CheckpointPod) -> set[str]:
    """Names in the POD's pool."""
    return {seen.name.partition("/")[2] for seen in pod.tools.hypervisor.observe() if seen.kind is Kind.VOLUME}


def test_memory_that_does_not_load_boots_all_machines(pod: CheckpointPod) -> None:
    saved = pod.save()
    _teardown(pod)
    pod.tools.hypervisor.refuse_states = {"local-virtual1-iec02"}
    assert pod.restore(saved).outcome == "done"
    assert all(pod.states().values())
    assert any(
        "boot from its disks: the state of local-virtual1-iec02 is refused" in line for line in pod.tools.reporter.lines
    )


def test_memory_is_loaded_from_a_file_by_a_libvirt_that_reads_no_pipe(pod: CheckpointPod) -> None:
    saved = pod.save()
    _teardown(pod)
    pod.tools.hypervisor.reads_pipes = False
    assert pod.restore(saved).outcome == "done"
    assert len(pod.tools.hypervisor.loaded) == 3 and all(pod.states().values())
    assert not any("boot from its disks" in line for line in pod.tools.reporter.lines)
    assert not [path for path in pod.tools.pod_dir.rglob("*.memory")]


def test_memory_of_another_qemu_is_not_tried(pod: CheckpointPod) -> None:
    saved = pod.save()
    _teardown(pod)
    pod.tools.hypervisor.version = "9.2.0"
    assert pod.restore(saved).outcome == "done"
    assert pod.tools.hypervisor.loaded == {} and all(pod.states().values())
    assert any("its memory is of another QEMU" in line for line in pod.tools.reporter.lines)


def test_machines_run_on_where_one_cannot_be_saved_and_no_checkpoint_is_left(pod: CheckpointPod) -> None:
    pod.tools.hypervisor.refuse_states = {"local-virtual1-iec03"}
    with pytest.raises(HostError, match="iec03 is refused"):
        pod.save()
    assert all(pod.states().values())
    assert pod.store.find_all() == [] and not any((pod.store.root / "saved").iterdir())
    assert {path.stem[-5:] for path in pod.store.layers_dir.iterdir()} <= {"iec01", "iec02"}
    volumes = {seen.name.rpartition("/")[2] for seen in pod.tools.hypervisor.observe() if seen.kind is Kind.VOLUME}
    assert {name for name in volumes if name.startswith("iec03")} == {"iec03.qcow2", "iec03-seed.iso"}
    assert pod.tools.node_shells["iec01"].calls[-1] == ("sh", "-c", SETTLE, "settle", "0"), "nodes continue"
    pod.tools.hypervisor.refuse_states = set()
    assert pod.save().checkpoint.has_memory


def test_a_restore_that_was_killed_is_repeated_without_being_asked(pod: CheckpointPod) -> None:
    saved = pod.save()
    _teardown(pod)
    pod.tools.hypervisor.refuse_to_define = HostError("killed here")
    with pytest.raises(HostError, match="killed here"):
        pod.restore(saved)
    pod.tools.hypervisor.refuse_to_define = None
    assert pod.restore(saved).outcome == "done"
    with pytest.raises(PreflightError, match="nothing was restored"):
        pod.restore(saved)


def test_machines_that_are_off_are_saved_without_memory(pod: CheckpointPod) -> None:
    for node in NODES:
        pod.tools.hypervisor.stop_outside(Kind.DOMAIN, f"local-virtual1-{node}")
    saved = pod.save("cold")
    assert not saved.checkpoint.has_memory and not any(pod.states().values())
    assert pod.restore(saved, may_replace=True).outcome == "done"
    assert all(pod.states().values())


def test_some_machines_off_are_no_instant(pod: CheckpointPod) -> None:
    pod.tools.hypervisor.stop_outside(Kind.DOMAIN, "local-virtual1-iec02")
    with pytest.raises(PreflightError) as caught:
        pod.save()
    assert [problem.path for problem in caught.value.problems] == ["domain of iec02"]


def test_a_name_is_given_once_and_is_never_chosen_by_itself(pod: CheckpointPod) -> None:
    mine = pod.save("mine").checkpoint
    with pytest.raises(UsageError, match="has a checkpoint 'mine'"):
        pod.save("mine")
    with pytest.raises(UsageError, match="no checkpoint of POD local/virtual1 without a name"):
        choose_checkpoint(pod.store, REF, None)
    assert choose_checkpoint(pod.store, REF, "mine") == mine == choose_checkpoint(pod.store, REF, mine.id[:6])
    result = make_pod_plan(resolve(pod.layout), pod.tools)
    assert result.inputs is not None
    assert find_fit(pod.store, REF, result.inputs).why_not == "there is none"


def test_a_pod_that_was_not_deployed_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not deployed from here"):
        CheckpointPod(tmp_path, layout_below(tmp_path)).save()


@pytest.mark.parametrize("until", ["reachable", "workers"])
def test_what_no_deploy_has_verified_is_no_checkpoint_of_one(tmp_path: Path, until: str) -> None:
    pod = CheckpointPod(tmp_path, layout_below(tmp_path))
    pod.deploy(until=until)
    with pytest.raises(UsageError, match="no cluster that its last deploy has verified"):
        pod.save()
    assert pod.save("early").checkpoint.name == "early"


def _redeploy(pod: CheckpointPod, **options: object) -> None:
    redeploy_with_checkpoint(
        resolve(pod.layout, **options),
        pod.tools,
        pod.keep_report,
        store=pod.store,
        installation=pods.INSTALLATION,
    )


def test_a_redeploy_saves_what_it_deployed_and_restores_it_the_next_time(pod: CheckpointPod) -> None:
    _redeploy(pod)
    assert pod.tools.hypervisor.loaded == {}
    assert any("no checkpoint fits, so the POD is deployed: there is none" in line for line in pod.tools.reporter.lines)
    (kept,) = pod.store.find_all()
    _redeploy(pod)
    assert len(pod.tools.hypervisor.loaded) == 3 and [one.id for one in pod.store.find_all()] == [kept.id]
    _teardown(pod)
    _redeploy(pod)
    assert all(pod.states().values()) and len(pod.store.find_all()) == 1


def test_a_pod_that_cannot_be_saved_was_deployed_all_the_same(pod: CheckpointPod) -> None:
    pod.tools.hypervisor.refuse_states = {"local-virtual1-iec03"}
    _redeploy(pod)
    assert all(pod.states().values()) and pod.store.find_all() == []
    assert any("the POD is deployed, and no checkpoint of it was saved" in line for line in pod.tools.reporter.lines)


def test_another_configuration_of_kubeadm_misses_and_is_restored_when_asked(
    pod: CheckpointPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = pod.save()
    monkeypatch.setattr("iecpod.render.kubeadm.LEADER_ARGUMENTS", {"leader-elect": "true"})
    result = make_pod_plan(resolve(pod.layout), pod.tools)
    assert result.inputs is not None
    why_not = find_fit(pod.store, REF, result.inputs).why_not
    assert why_not == f"{saved.checkpoint.id} was made with another configuration of kubeadm"
    pod.restore(saved, may_replace=True)
    assert len(pod.tools.hypervisor.loaded) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"vcpus": 3}, "definition of iec01, definition of iec02, definition of iec03"),
        ({"service_cidr": "172.16.2.0/24"}, "cluster"),
    ],
)
def test_a_changed_input_misses_with_its_name(pod: CheckpointPod, options: dict[str, object], reason: str) -> None:
    saved = pod.save()
    _redeploy(pod, **options)
    (line,) = (found for found in pod.tools.reporter.lines if "no checkpoint fits" in found)
    assert f"{saved.checkpoint.id} was made with another {reason}" in line
    with pytest.raises(PreflightError) as caught:
        pod.restore(saved, may_replace=True, **options)
    assert reason in caught.value.problems[0].message
    assert all(pod.states().values())


def test_a_damaged_checkpoint_costs_a_deploy_and_no_more(pod: CheckpointPod) -> None:
    saved = pod.save()
    os.truncate(pod.store.directory(saved.checkpoint.id) / "memory-iec01", 3)
    _redeploy(pod)
    assert pod.tools.hypervisor.loaded == {} and all(pod.states().values())
    assert any("it has 3 bytes, not" in line for line in pod.tools.reporter.lines)
    assert len(pod.store.find_all()) == 2


def test_the_plan_says_whether_one_fits(pod: CheckpointPod) -> None:
    from iecpod.pods.checkpoint_choice import fit_text

    saved = pod.save().checkpoint
    result = make_pod_plan(resolve(pod.layout), pod.tools)
    assert result.inputs is not None
    text = plan_text(resolve(pod.layout), result, fit_text(find_fit(pod.store, REF, result.inputs), result.inputs))
    assert f"{saved.id} of {saved.made_at} fits (`redeploy --checkpoint`)" in text
