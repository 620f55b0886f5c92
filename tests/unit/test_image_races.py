"""Processes that want the same of the cache at once, and makers that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iecpod.images.cache import Cache
from iecpod.images.store import ImageStore, NewImage
from iecpod.ports import BaseImage
from tests.fakes import RecordingReporter

ROOT = Path(__file__).parents[2]

#: Arguments: what to make, the cache, and for how long a maker is at work. It notes each making in CACHE/made.
_MAKER = """
import sys, time
from pathlib import Path
from iecpod.images.cache import Cache
from iecpod.images.store import ImageStore, NewImage
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
    """Path and content of what it was given, and what it was told."""
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
    (path, content, *told), (other_path, other_content, *told_other) = (finish(maker) for maker in makers)
    assert (path, content) == (other_path, other_content) and content == "content"
    assert times_made(tmp_path) == 1
    made = [lines for lines in (told, told_other) if lines == [f"making the {'thing' if what == 'artifact' else what}"]]
    waited = [lines for lines in (told, told_other) if lines[0].startswith("waiting for another run that makes ")]
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
        patched.setattr("iecpod.images.store.write_json", end)
        _ensure(store)
    assert store.find("key") is None
    assert _ensure(store).path.read_bytes() == b"disk"
    assert len(list((tmp_path / "images").glob("*.qcow2"))) == 1


def _ensure(store: ImageStore) -> BaseImage:
    def make(work: Path) -> NewImage:
        (work / "new").write_bytes(b"disk")
        return NewImage(work / "new", "qcow2", 1024)

    return store.ensure("key", "making the image", make)
