"""The lock of a POD: exclusive between processes, free once its holder is dead."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iecpod.adapters.pod_lock import find_holder, pod_lock
from iecpod.errors import ExitCode, HostError, PodLocked
from iecpod.layout import DATA_DIRS, Layout, find_layout
from iecpod.model import PodRef

REF = PodRef("local", "virtual1")
ROOT = Path(__file__).parents[3]

_HOLDER = """
import sys, time
from pathlib import Path
from iecpod.adapters.pod_lock import pod_lock
from iecpod.layout import find_layout
from iecpod.model import PodRef
data, runtime = sys.argv[1:]
layout = find_layout({"IECPOD_RUNTIME_DIR": runtime}, package_dir=Path(data) / "iecpod", is_root=True)
with pod_lock(layout, PodRef("local", "virtual1"), wait_seconds=0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for name in DATA_DIRS:
        (tmp_path / name).mkdir()
    environ = {"IECPOD_RUNTIME_DIR": str(tmp_path / "run")}
    return find_layout(environ, package_dir=tmp_path / "iecpod", is_root=True)


def start_holder(layout: Layout) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", _HOLDER, str(layout.pdf_dir.parent), str(layout.runtime_dir)]
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_run_reports_which_process_holds_the_pod(layout: Layout) -> None:
    holder = start_holder(layout)
    try:
        with pytest.raises(PodLocked) as caught, pod_lock(layout, REF, wait_seconds=0):
            pytest.fail("two held the lock")
    finally:
        holder.kill()
        holder.wait()
    assert f"process {holder.pid}" in caught.value.cause
    assert str(layout.runtime_dir) in caught.value.cause, "the command of the holder"
    assert caught.value.exit_code is ExitCode.PREFLIGHT


def test_a_killed_holder_holds_nothing(layout: Layout) -> None:
    holder = start_holder(layout)
    holder.kill()
    holder.wait()
    with pod_lock(layout, REF, wait_seconds=0):
        pass


def test_the_note_of_a_dead_run_names_nobody(layout: Layout) -> None:
    """The dead left it, and who holds the lock now has not written its own yet."""
    holder = start_holder(layout)
    (note,) = layout.runtime_dir.rglob("*.holder")
    left = note.read_text()
    holder.kill()
    holder.wait()
    with pod_lock(layout, REF, wait_seconds=0):
        note.write_text(left)
        with pytest.raises(PodLocked) as caught, pod_lock(layout, REF, wait_seconds=0):
            pass
    assert caught.value.cause == "another iecpod is at work on POD local/virtual1"


def test_the_note_of_a_dead_run_does_not_name_who_has_its_number_now(layout: Layout) -> None:
    """A kernel gives numbers of processes out again, and the remedy is to kill that one."""
    holder = start_holder(layout)
    (note,) = layout.runtime_dir.rglob("*.holder")
    left = {**json.loads(note.read_text()), "pid": os.getpid()}
    holder.kill()
    holder.wait()
    with pod_lock(layout, REF, wait_seconds=0):
        note.write_text(json.dumps(left))
        with pytest.raises(PodLocked) as caught, pod_lock(layout, REF, wait_seconds=0):
            pass
    assert caught.value.cause == "another iecpod is at work on POD local/virtual1"


def test_waiting_gets_the_lock_when_it_comes_free(layout: Layout) -> None:
    holder = start_holder(layout)
    stopper = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill {holder.pid}"])
    start = time.monotonic()
    printed: list[str] = []
    with pod_lock(layout, REF, wait_seconds=20, notify=printed.append):
        assert time.monotonic() - start > 0.3
    (message,) = printed
    assert message.startswith(f"waits for process {holder.pid} (`")
    stopper.wait()
    holder.wait()


def test_other_pods_are_free(layout: Layout) -> None:
    with (
        pod_lock(layout, PodRef("a-b", "c"), wait_seconds=0),
        pod_lock(layout, PodRef("a", "b-c"), wait_seconds=0),
        pod_lock(layout, REF, wait_seconds=0),
    ):
        pass


def test_the_lock_is_free_again_after_an_error(layout: Layout) -> None:
    with pytest.raises(RuntimeError), pod_lock(layout, REF, wait_seconds=0):
        raise RuntimeError
    with pod_lock(layout, REF, wait_seconds=0):
        pass
    assert not list(layout.runtime_dir.rglob("*.holder"))


def test_a_runtime_directory_that_cannot_be_made(layout: Layout) -> None:
    layout.runtime_dir.write_text("")
    with pytest.raises(HostError, match="lock") as caught, pod_lock(layout, REF, wait_seconds=0):
        pass
    assert "IECPOD_RUNTIME_DIR" in caught.value.remedy


def test_a_dead_holder_that_nobody_has_buried_is_none(layout: Layout) -> None:
    """Its process is listed until its parent asks for it, which under a container's first process may be never."""
    holder = start_holder(layout)
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert Path(f"/proc/{holder.pid}/stat").exists()
        assert find_holder(layout, REF) is None
    finally:
        holder.wait()


def test_the_holder_is_found_without_the_lock_being_tried(layout: Layout) -> None:
    assert find_holder(layout, REF) is None
    holder = start_holder(layout)
    try:
        found = find_holder(layout, REF)
    finally:
        holder.kill()
        holder.wait()
    assert found is not None and found.pid == holder.pid
    assert str(layout.runtime_dir) in found.command and found.since.startswith("20")
    assert find_holder(layout, REF) is None, "its note is left, and it is dead"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://me:s3cr3t@lab/labs", "https://(secret)@lab/labs"),
        ("--base-uri=https://me:s3/cr3@t@lab/labs", "--base-uri=https://(secret)@lab/labs"),
        ("https://lab/labs?token=s3cr3t", "https://lab/labs?(secret)"),
        ("https://s3cr3t@lab/labs?s3cr3t", "https://(secret)@lab/labs?(secret)"),
        ("qemu:///system", "qemu:///system"),
        ("/what/is?no@url", "/what/is?no@url"),
    ],
)
def test_the_note_of_the_holder_has_no_secrets(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/iecpod", "deploy", "-b", given])
    with pod_lock(layout, REF, wait_seconds=0):
        holder = find_holder(layout, REF)
    assert holder is not None and holder.command == shlex.join(["iecpod", "deploy", "-b", shown])
