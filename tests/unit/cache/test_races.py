"""Processes that want the same of the cache at once, makers that are killed, and removals between them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.cache.base_images import ImageStore, NewImage
from iecpod.cache.inventory import find_items
from iecpod.cache.lease import alone
from iecpod.cache.qcow2 import find_backing
from iecpod.errors import PreflightError
from iecpod.ports import BaseImage
from iecpod.wiring.image_cache import ImageCache
from tests.fakes import RecordingReporter
from tests.unit.command_line import layout_below

ROOT = Path(__file__).parents[3]

#: Arguments: what to make, the cache, and for how long a maker is at work. It notes each making in CACHE/made.
_MAKER = """
import sys, time
from pathlib import Path
from iecpod.wiring.image_cache import ImageCache
from iecpod.errors import PreflightError
from iecpod.cache.artifacts import Cache
from iecpod.cache.inventory import find_items
from iecpod.cache.lease import alone
from iecpod.cache.qcow2 import find_backing
from iecpod.cache.base_images import ImageStore, NewImage
from tests.fakes import RecordingReporter

what, root, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
reporter = RecordingReporter()
cache = Cache(root, reporter)

def work(directory):
    (directory / "file").write_bytes(b"con")
    with (root / "made").open("a") as made:
        made.write("made\\n")
    time.sleep(seconds)
    (directory / "file").write_bytes(b"content")

def make_artifact(directory):
    work(directory)
    return {}

def make_image(directory):
    work(directory)
    return NewImage(directory / "file", "qcow2", 1024)

print("ready", flush=True)
sys.stdin.readline()
if what == "artifact":
    path = cache.ensure("things", {"recipe": "one"}, make_artifact, "making the thing").path / "file"
else:
    path = ImageStore(cache).ensure("key", "making the image", make_image).path
print(path, path.read_bytes().decode(), *reporter.lines, sep="\\t", flush=True)
"""


def start_maker(what: str, root: Path, seconds: float) -> subprocess.Popen[str]:
    """Waits for a line before it begins."""
    argv = [sys.executable, "-c", _MAKER, what, str(root), str(seconds)]
    maker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert maker.stdout is not None and maker.stdout.readline() == "ready\n"
    return maker


def begin(maker: subprocess.Popen[str]) -> None:
    assert maker.stdin is not None
    maker.stdin.write("\n")
    maker.stdin.flush()


def finish(maker: subprocess.Popen[str]) -> list[str]:
    """Path and content of what it was given, and the messages that it got."""
    output, _ = maker.communicate(timeout=60)
    assert maker.returncode == 0
    return output.rstrip("\n").split("\t")


def times_made(root: Path) -> int:
    return (root / "made").read_text().count("made") if (root / "made").exists() else 0


@pytest.mark.parametrize("what", ["artifact", "image"])
def test_two_processes_at_once_make_it_once_and_both_have_it(tmp_path: Path, what: str) -> None:
    makers = [start_maker(what, tmp_path, 1.0) for _ in range(2)]
    for maker in makers:
        begin(maker)
    (path, content, *shown), (other_path, other_content, *other_shown) = (finish(maker) for maker in makers)
    assert (path, content) == (other_path, other_content) and content == "content"
    assert times_made(tmp_path) == 1
    made = [
        lines for lines in (shown, other_shown) if lines == [f"making the {'thing' if what == 'artifact' else what}"]
    ]
    waited = [lines for lines in (shown, other_shown) if lines[0].startswith("waiting for another run that makes ")]
    assert (len(made), len(waited)) == (1, 1)


@pytest.mark.parametrize("what", ["artifact", "image"])
def test_a_killed_maker_misleads_nobody_and_the_one_that_waits_makes_it(tmp_path: Path, what: str) -> None:
    killed, waiting = start_maker(what, tmp_path, 60.0), start_maker(what, tmp_path, 0.0)
    begin(killed)
    while times_made(tmp_path) == 0:
        time.sleep(0.02)
    begin(waiting)
    time.sleep(0.5)
    assert waiting.poll() is None and times_made(tmp_path) == 1
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    path, content, *_ = finish(waiting)
    assert content == "content" and times_made(tmp_path) == 2
    kept = {found for found in tmp_path.rglob("*") if found.is_file() and found.name == Path(path).name}
    assert kept == {Path(path)}
    assert [found for found in (tmp_path / "work").iterdir() if found.is_dir()] == []


def test_a_maker_killed_before_the_index_was_written_is_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image has its name already, and nothing refers to it."""

    class Killed(BaseException):
        pass

    def end(*_arguments: object) -> None:
        raise Killed

    store = ImageStore(Cache(tmp_path, RecordingReporter()))
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("iecpod.cache.base_images.write_json", end)
        _ensure(store)
    assert store.find("key") is None
    assert _ensure(store).path.read_bytes() == b"disk"
    assert len(list((tmp_path / "images").glob("*.qcow2"))) == 1


def _ensure(store: ImageStore) -> BaseImage:
    def make(work: Path) -> NewImage:
        (work / "new").write_bytes(b"disk")
        return NewImage(work / "new", "qcow2", 1024)

    return store.ensure("key", "making the image", make)


#: As a deploy: asks for the image, takes its time, and makes a disk of a POD that rests on it. Argument: below which
#: directory state and cache are, and the POD's name.
_DEPLOY = """
import subprocess, sys, time
from pathlib import Path
from iecpod.cache.artifacts import Cache
from iecpod.cache.pod_notes import note_pod
from iecpod.cache.base_images import ImageStore, NewImage
from tests.fakes import RecordingReporter

root, pod_dir = Path(sys.argv[1]), Path(sys.argv[1], "elsewhere", "pods", "lab", sys.argv[2])

def make(work):
    subprocess.run(["qemu-img", "create", "-f", "qcow2", work / "disk", "1M"], check=True, capture_output=True)
    return NewImage(work / "disk", "qcow2", 1024)

note_pod(root / "cache", pod_dir)
image = ImageStore(Cache(root / "cache", RecordingReporter())).ensure("key", "making the image", make)
print("asked", flush=True)
sys.stdin.readline()
pod_dir.mkdir(parents=True)
create = ["qemu-img", "create", "-f", "qcow2", "-F", "qcow2", "-b", image.path, pod_dir / "disk.qcow2"]
subprocess.run(create, check=True, capture_output=True)
"""


def start_deploy(root: Path, pod: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", _DEPLOY, str(root), pod]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def wait_until_asked(deploy: subprocess.Popen[str]) -> None:
    assert deploy.stdout is not None and deploy.stdout.readline() == "asked\n"


def test_what_a_deploy_has_asked_for_stays_until_its_disks_are_there(tmp_path: Path) -> None:
    keeping = ImageCache(layout_below(tmp_path))
    deploy = start_deploy(tmp_path, "pod1")
    wait_until_asked(deploy)
    ((item, users),) = [(used.item, used.users) for used in keeping.items()]
    assert users == ("a run that is at work",)
    with pytest.raises(PreflightError) as refused:
        keeping.remove([item.name], dry_run=False)
    assert "is needed by a run that is at work" in refused.value.problems[0].message
    assert keeping.remove_unused(parts=True, older_than_seconds=-1, dry_run=False).decisions[0].action == "kept"
    begin(deploy)
    assert deploy.wait(60) == 0 and item.path.exists()
    (used,) = keeping.items()
    assert len(used.users) == 1 and used.users[0].startswith("POD lab/pod1 (its state is in ")


def test_a_killed_deploy_keeps_nothing(tmp_path: Path) -> None:
    keeping = ImageCache(layout_below(tmp_path))
    deploy = start_deploy(tmp_path, "pod1")
    wait_until_asked(deploy)
    deploy.kill()
    deploy.wait()
    ((item, users),) = [(used.item, used.users) for used in keeping.items()]
    assert users == ()
    keeping.remove([item.name], dry_run=False)
    assert not item.path.exists() and keeping.items() == []


def test_a_request_during_a_removal_waits_and_makes_it_again(tmp_path: Path) -> None:
    cache_dir = layout_below(tmp_path).cache_dir
    first = start_deploy(tmp_path, "pod1")
    wait_until_asked(first)
    first.kill()
    first.wait()
    (item,) = find_items(cache_dir)
    with alone(cache_dir, item.lease) as is_free:
        assert is_free
        deploy = start_deploy(tmp_path, "pod2")
        time.sleep(1.0)
        item.path.unlink()
        assert deploy.poll() is None
    wait_until_asked(deploy)
    assert item.path.exists()
    deploy.kill()
    deploy.wait()


def test_deploys_and_removals_at_once(tmp_path: Path) -> None:
    """Whatever order they come in: each disk that was made rests on an image that is there."""
    keeping = ImageCache(layout_below(tmp_path))
    removed = 0
    for number in range(3):
        deploys = [start_deploy(tmp_path, f"pod{number}-{one}") for one in range(3)]
        for deploy in deploys:
            begin(deploy)
        while any(deploy.poll() is None for deploy in deploys):
            gathered = keeping.remove_unused(parts=True, older_than_seconds=float("-inf"), dry_run=False)
            removed += sum(decision.action == "removed" for decision in gathered.decisions)
        disks = list((tmp_path / "elsewhere").rglob("disk.qcow2"))
        assert len(disks) == 3 and [deploy.returncode for deploy in deploys] == [0, 0, 0]
        for disk in disks:
            backing = find_backing(disk)
            assert backing is not None and Path(backing).exists()
            disk.unlink()
        gathered = keeping.remove_unused(parts=True, older_than_seconds=float("-inf"), dry_run=False)
        removed += sum(decision.action == "removed" for decision in gathered.decisions)
    assert removed >= 3
