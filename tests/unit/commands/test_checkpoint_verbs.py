"""`iecpod checkpoint ls`, `show`, `verify`, `rm` and `gc` on checkpoints of a POD with fakes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from iecpod.commands.checkpoint.save import SavedCheckpoint
from iecpod.errors import PreflightError
from tests.unit.command_line import install, layout_below, run
from tests.unit.commands.checkpoint_pod import CheckpointPod, write_qcow2

DAY = 86_400.0


@pytest.fixture
def pod(tmp_path: Path) -> CheckpointPod:
    install(tmp_path)
    made = CheckpointPod(tmp_path, layout_below(tmp_path))
    made.deploy()
    return made


def _forget(pod: CheckpointPod, saved: SavedCheckpoint, days: int) -> None:
    """As if nothing had used it since."""
    then = time.time() - days * DAY
    os.utime(pod.store.directory(saved.checkpoint.id), (then, then))


def _rest_on(pod: CheckpointPod, saved: SavedCheckpoint) -> Path:
    """A disk of a POD of this state directory that rests on the layers."""
    disk = pod.layout.state_dir / "pods/local/virtual1/pool/iec01.qcow2"
    disk.parent.mkdir(parents=True, exist_ok=True)
    write_qcow2(disk, 1 << 30, str(pod.store.layer(saved.checkpoint.layers[0].name)))
    return disk


def test_nothing_is_listed_as_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "checkpoint", "ls").output == "there are no checkpoints\n"
    assert json.loads(run(tmp_path, "checkpoint", "ls", "-o", "json").output) == []


def test_what_there_is_is_listed_with_who_needs_it(pod: CheckpointPod, tmp_path: Path) -> None:
    saved = pod.save("mine")
    _rest_on(pod, saved)
    result = run(tmp_path, "checkpoint", "ls")
    line = result.output.splitlines()[1]
    header = "ID NAME POD MADE USED SIZE MEMORY NEEDED BY WHAT"
    assert " ".join(result.output.splitlines()[0].split()) == header
    assert line.startswith(f"{saved.checkpoint.id}  mine  local/virtual1")
    assert "POD local/virtual1" in line and "Kubernetes 1.20.2" in line
    (found,) = json.loads(run(tmp_path, "checkpoint", "ls", "-o", "json").output)
    assert (found["name"], found["pod"], found["needed_by"]) == ("mine", "local/virtual1", ["POD local/virtual1"])
    assert found["inputs"] == dict(saved.checkpoint.inputs)


def test_one_is_shown_with_its_machines(pod: CheckpointPod, tmp_path: Path) -> None:
    saved = pod.save()
    shown = run(tmp_path, "checkpoint", "show", saved.checkpoint.id[:5])
    assert shown.exit_code == 0 and "definition of iec02" in shown.output and "BASE IMAGE" in shown.output
    (found,) = json.loads(run(tmp_path, "checkpoint", "show", saved.checkpoint.id, "-o", "json").output)
    assert [machine["hostname"] for machine in found["machines"]] == ["iec01", "iec02", "iec03"]
    assert "there is no checkpoint 'other'" in str(run(tmp_path, "checkpoint", "show", "other").exception)


def test_a_damaged_one_is_listed_and_can_be_removed(pod: CheckpointPod, tmp_path: Path) -> None:
    saved = pod.save()
    (pod.store.directory(saved.checkpoint.id) / "manifest.json").write_text("{}")
    assert "damaged: `version` is missing" in run(tmp_path, "checkpoint", "ls").output
    assert isinstance(run(tmp_path, "checkpoint", "verify").exception, PreflightError)
    assert run(tmp_path, "checkpoint", "rm", saved.checkpoint.id).exit_code == 0
    assert pod.store.find_all() == []


def test_verify_hashes_what_looks_untouched(pod: CheckpointPod, tmp_path: Path) -> None:
    saved = pod.save()
    assert run(tmp_path, "checkpoint", "verify").output == f"checkpoint {saved.checkpoint.id} is whole\n"
    memory = pod.store.directory(saved.checkpoint.id) / "memory-iec01"
    status = memory.stat()
    memory.write_bytes(b"x" * status.st_size)
    os.utime(memory, ns=(status.st_atime_ns, status.st_mtime_ns))
    error = run(tmp_path, "checkpoint", "verify", saved.checkpoint.id).exception
    assert isinstance(error, PreflightError) and error.problems[0].message == "its digest is another"


def test_a_layer_stays_for_as_long_as_something_rests_on_it(pod: CheckpointPod, tmp_path: Path) -> None:
    saved = pod.save()
    disk = _rest_on(pod, saved)
    layers = {pod.store.layer(layer.name): layer.name.endswith("iec01.qcow2") for layer in saved.checkpoint.layers}
    assert run(tmp_path, "checkpoint", "rm", saved.checkpoint.id).exit_code == 0
    assert {layer: layer.exists() for layer in layers} == layers, "of iec01 alone"
    disk.unlink()
    assert run(tmp_path, "gc", "--older-than", "1d").exit_code == 0
    assert not any(layer.exists() for layer in layers)


def test_layers_of_another_checkpoint_stay(pod: CheckpointPod, tmp_path: Path) -> None:
    first, second = pod.save(), pod.save("mine")
    run(tmp_path, "checkpoint", "rm", first.checkpoint.id)
    assert all(path.exists() for path in pod.store.paths(second.checkpoint))
    run(tmp_path, "checkpoint", "rm", "mine")
    assert not any(pod.store.layers_dir.iterdir())


def test_one_that_a_run_restores_is_not_removed(pod: CheckpointPod, tmp_path: Path) -> None:
    saved = pod.save()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        pod.store.hold(saved.checkpoint.id, lambda _holder: None)
        os.write(write, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(read, 1)
        assert "a run that is at work" in run(tmp_path, "checkpoint", "ls").output
        assert "kept" in run(tmp_path, "checkpoint", "rm", saved.checkpoint.id).output
        assert len(pod.store.find_all()) == 1
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_images_are_needed_by_checkpoints(pod: CheckpointPod, tmp_path: Path) -> None:
    saved = pod.save()
    assert f"checkpoint {saved.checkpoint.id}" in run(tmp_path, "image", "ls").output
    assert isinstance(run(tmp_path, "image", "rm", "0" * 64).exception, PreflightError)


def test_garbage_is_what_nobody_has_used_and_nobody_has_named(pod: CheckpointPod, tmp_path: Path) -> None:
    old, mine, young = pod.save(), pod.save("mine"), pod.save()
    _forget(pod, old, 5)
    _forget(pod, mine, 5)
    output = run(tmp_path, "gc", "--older-than", "2d").output
    assert f"kept     checkpoint {young.checkpoint.id}" in output and "not old enough" in output
    assert f"removed  checkpoint {old.checkpoint.id}" in output and "its user's own" in output
    assert {kept.id for kept in pod.store.find_all()} == {mine.checkpoint.id, young.checkpoint.id}
    run(tmp_path, "gc", "--older-than", "2d", "--all")
    assert {kept.id for kept in pod.store.find_all()} == {young.checkpoint.id}


def test_the_latest_stay_where_room_is_limited(pod: CheckpointPod, tmp_path: Path) -> None:
    old, young = pod.save(), pod.save()
    _forget(pod, old, 1)
    size = pod.store.size_bytes(next(kept for kept in pod.store.find_all() if kept.id == young.checkpoint.id))
    limit = f"{size // 1024 + 1}K"
    dry = run(tmp_path, "gc", "--older-than", "9d", "--max-size", limit, "--dry-run").output
    assert f"would remove  checkpoint {old.checkpoint.id}" in dry and len(pod.store.find_all()) == 2
    run(tmp_path, "gc", "--older-than", "9d", "--max-size", limit)
    assert [kept.id for kept in pod.store.find_all()] == [young.checkpoint.id]


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, "checkpoint", "save", "-l", "local", "-p", "virtual1", "--name", "../x")
    assert result.exit_code == 2 and "no name of a checkpoint" in result.output


def test_changed_and_checkpoint_are_two_ways(tmp_path: Path) -> None:
    result = run(tmp_path, "redeploy", "-l", "local", "-p", "virtual1", "--changed", "--checkpoint")
    assert "--checkpoint restores all of them" in str(result.exception)
