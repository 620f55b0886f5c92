"""`iecpod image`: what the cache holds, who needs what of it, and what may go; with files of qemu-img's own making."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from iecpod.cache.artifacts import Cache
from iecpod.cache.base_images import ImageStore, NewImage
from iecpod.cache.inventory import find_items
from iecpod.cache.lease import alone
from iecpod.cache.pod_notes import note_pod, noted_pod_dirs
from iecpod.cache.qcow2 import find_backing, find_chain
from iecpod.errors import PreflightError
from iecpod.hypervisor_uri import EMBEDDED, SYSTEM, HypervisorUri
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.pods.directory import save_pod
from iecpod.wiring.cache_users import find_users, system_uris
from iecpod.yaml.document import dump_yaml, load_yaml
from tests import pods
from tests.fakes import RecordingReporter
from tests.pod_requests import saved_pod
from tests.unit.cli.test_cli import proposals
from tests.unit.command_line import layout_below, run
from tests.unit.providers.libvirt.libvirt_of_tests import TEST_URI, put_in_place, take_away, take_to

DAY = 86_400.0


def qemu_img(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def make_overlay(path: Path, backing: Path, backing_format: str = "qcow2") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    qemu_img("create", "-f", "qcow2", "-F", backing_format, "-b", backing, path)
    return path


def make_image(layout: Layout, key: str, size: str, facts: Mapping[str, str] | None = None) -> Path:
    """As a run would that has ended since."""

    def make(work: Path) -> NewImage:
        qemu_img("create", "-f", "qcow2", work / "disk", size)
        return NewImage(work / "disk", "qcow2", 1)

    cache = Cache(layout.cache_dir, RecordingReporter())
    image = ImageStore(cache).ensure(key, "making it", make, facts or {})
    let_go(layout)
    return image.path


def make_artifact(layout: Layout, kind: str, recipe: Mapping[str, Any], facts: Mapping[str, str] | None = None) -> Path:
    def make(directory: Path) -> Mapping[str, Any]:
        (directory / "file").write_bytes(bytes(8192))
        return facts or {}

    path = Cache(layout.cache_dir, RecordingReporter()).ensure(kind, recipe, make, "making it").path
    let_go(layout)
    return path


def let_go(layout: Layout) -> None:
    for item in find_items(layout.cache_dir):
        with alone(layout.cache_dir, item.lease) as is_free:
            assert is_free


def set_last_use(layout: Layout, path: Path, seconds_ago: float) -> None:
    (item,) = (item for item in find_items(layout.cache_dir) if item.path == path)
    moment = (time.time() - seconds_ago,) * 2
    os.utime(layout.cache_dir / "locks" / f"{item.lease}.use", moment)
    os.utime(path, moment)


def needed_by(directory: Path, path: Path) -> list[str]:
    result = run(directory, "image", "ls", "-o", "json")
    assert result.exit_code == 0, result.output
    (entry,) = (entry for entry in json.loads(result.stdout) if entry["path"] == str(path))
    return list(entry["needed_by"])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


def test_headers_tell_what_files_rest_on(tmp_path: Path) -> None:
    base, raw = tmp_path / "base.qcow2", tmp_path / "disk.raw"
    qemu_img("create", "-f", "qcow2", base, "1M")
    qemu_img("create", "-f", "raw", raw, "1M")
    overlay = make_overlay(tmp_path / "pool" / "overlay.qcow2", base)
    snapshot = make_overlay(tmp_path / "pool" / "snapshot.qcow2", Path("overlay.qcow2"))
    assert [find_backing(path) for path in (base, raw, overlay, snapshot)] == [None, None, str(base), "overlay.qcow2"]
    assert list(find_chain(snapshot)) == [overlay, base]
    base.unlink()
    assert list(find_chain(snapshot)) == [overlay, base]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: b"", "no header of a qcow2 disk"),
        (lambda content: bytes(4096), "no header of a qcow2 disk"),
        (lambda content: content[:50], "its header is cut off"),
        (lambda content: content[:300], "does not name its backing file"),
        (lambda content: content[:16] + b"\0\0\xff\xff" + content[20:], "does not name its backing file"),
        (lambda content: content[:79] + b"\4" + content[80:], "keeps its data in a file of another name"),
    ],
)
def test_a_header_that_does_not_tell_is_not_one_that_rests_on_nothing(
    tmp_path: Path, layout: Layout, image: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    disk = make_overlay(layout.state_dir / "pods/lab/pod1/pool/iec01.qcow2", image)
    disk.write_bytes(damage(disk.read_bytes()))
    with pytest.raises(ValueError, match=reason):
        find_backing(disk)
    (user,) = needed_by(tmp_path, image)
    assert user.startswith("POD lab/pod1 (cannot be looked at: ") and reason in user
    assert run(tmp_path, "image", "rm", image.stem).exit_code == 1 and image.exists()
    assert run(tmp_path, "image", "rm", "--unused").exit_code == 0 and image.exists()


def test_everything_is_listed(tmp_path: Path, layout: Layout) -> None:
    assert run(tmp_path, "image", "ls").stdout == "the cache is empty\n"
    facts = {"release": "debian12", "arch": "x86_64", "origin": "baked", "kubernetes": "1.20.2"}
    image = make_image(layout, "a" * 64, "1M", facts)
    assert make_image(layout, "b" * 64, "1M") == image  # another key of the same
    bundle = make_artifact(layout, "bundles", {"kubernetes": {"kubernetes": "1.20.2", "arch": "amd64"}})
    rootfs = make_artifact(layout, "rootfs", {"suite": "bookworm", "arch": "arm64", "packages": ["a", "b"]})
    made_of = {"release": "debian12", "arch": "amd64", "kubernetes": "1.20.2"}
    disk = make_artifact(layout, "bundle-disks", {"software": "k3y"}, made_of)
    set_last_use(layout, image, 2 * DAY)
    found = {entry["path"]: entry for entry in json.loads(run(tmp_path, "image", "ls", "-o", "json").stdout)}
    assert list(found) == [str(image), str(disk), str(bundle), str(rootfs)]
    assert found[str(image)] == {
        "kind": "images",
        "name": image.stem,
        "keys": ["a" * 64, "b" * 64],
        "path": str(image),
        "what": "debian12 for x86_64, baked with Kubernetes 1.20.2",
        "facts": facts,
        "size_bytes": image.stat().st_blocks * 512,
        "made_at": found[str(image)]["used_at"],
        "used_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(image.stat().st_mtime)),
        "needed_by": [],
    }
    assert found[str(bundle)]["what"] == "Kubernetes 1.20.2, amd64" and found[str(bundle)]["size_bytes"] >= 8192
    assert found[str(disk)]["what"] == "debian12 for amd64, made with Kubernetes 1.20.2"
    assert found[str(rootfs)]["what"] == "bookworm, arm64, 2 packages and what they need"
    table = run(tmp_path, "image", "ls").stdout.splitlines()
    assert table[0].split() == ["KIND", "NAME", "SIZE", "MADE", "USED", "NEEDED", "BY", "WHAT"]
    assert table[1].split()[:2] == ["images", image.stem[:12]] and "2d" in table[1]
    assert table[-1].startswith("4 in all, ")


def test_what_is_no_longer_whole_is_listed_and_can_go(tmp_path: Path, layout: Layout) -> None:
    image, bundle = make_image(layout, "a" * 64, "1M"), make_artifact(layout, "bundles", {"n": 1})
    image.with_name(image.name + ".corrupt").write_bytes(b"damaged")
    bundle.rename(bundle.with_name(bundle.name + ".corrupt"))
    make_artifact(layout, "bundles", {"n": 1})
    (layout.cache_dir / "images" / f"{'c' * 64}.qcow2").write_bytes(b"no entry")
    what = {item.path.name: item.what for item in find_items(layout.cache_dir)}
    assert what == {
        image.name: "made by an earlier version",
        f"{image.name}.corrupt": "damaged, and set aside",
        f"{'c' * 64}.qcow2": "left by a run that was killed",
        bundle.name: "unknown",
        f"{bundle.name}.corrupt": "damaged, and set aside",
    }
    for name in (f"{image.name}.corrupt", "c" * 64, f"{bundle.name}.corrupt"):
        removed = run(tmp_path, "image", "rm", name)
        assert removed.exit_code == 0, removed.output
    assert {item.path for item in find_items(layout.cache_dir)} == {image, bundle}
    assert ImageStore(Cache(layout.cache_dir, RecordingReporter())).find("a" * 64) is not None


def test_entries_of_an_earlier_version_are_read(tmp_path: Path, layout: Layout) -> None:
    image = make_image(layout, "a" * 64, "1M")
    entry_path = layout.cache_dir / "images/index" / f"{'a' * 64}.json"
    entry = json.loads(entry_path.read_text())
    assert entry.pop("facts") == {}
    entry_path.write_text(json.dumps(entry))
    (layout.cache_dir / "locks" / f"image-{image.stem}.use").unlink()
    found = ImageStore(Cache(layout.cache_dir, RecordingReporter())).find("a" * 64)
    assert found is not None and found.path == image
    assert [item.what for item in find_items(layout.cache_dir)] == ["made by an earlier version"]


def test_a_look_is_no_use(tmp_path: Path, layout: Layout) -> None:
    image = make_image(layout, "a" * 64, "1M")
    lease = layout.cache_dir / "locks" / f"image-{image.stem}.use"
    lease.unlink()
    assert run(tmp_path, "image", "ls").exit_code == 0 and not lease.exists()
    os.utime(image, (0, 0))
    assert run(tmp_path, "image", "rm", "--unused", "--older-than", "1d", "--dry-run").stdout.count("would remove") == 1
    assert run(tmp_path, "image", "rm", "--unused", "--older-than", "1d", "--dry-run").stdout.count("would remove") == 1


def test_a_use_is_the_latest_of_all(tmp_path: Path, layout: Layout) -> None:
    image = make_image(layout, "a" * 64, "1M")
    set_last_use(layout, image, 9 * DAY)
    assert ImageStore(Cache(layout.cache_dir, RecordingReporter())).find("a" * 64) is not None
    let_go(layout)
    (item,) = find_items(layout.cache_dir)
    assert abs(item.used_at - time.time()) < 60 < time.time() - item.made_at


@pytest.fixture
def image(layout: Layout) -> Path:
    return make_image(layout, "a" * 64, "1M")


def test_a_pod_needs_what_its_disks_rest_on(tmp_path: Path, layout: Layout, image: Path) -> None:
    pod_dir = layout.state_dir / "pods/lab/pod1"
    other = make_image(layout, "b" * 64, "2M")
    overlay = make_overlay(pod_dir / "pool/iec01.qcow2", image)
    assert (needed_by(tmp_path, image), needed_by(tmp_path, other)) == (["POD lab/pod1"], [])
    result = run(tmp_path, "image", "rm", image.stem[:12], other.stem)
    assert isinstance(result.exception, PreflightError) and result.exception.exit_code == 4
    assert [str(problem) for problem in result.exception.problems] == [
        f"error: images {image.stem[:12]} is needed by POD lab/pod1\n    -> tear that down, or wait for it to end; "
        "where it cannot be looked at, see to the reason first"
    ]
    assert image.exists() and other.exists()
    gathered = run(tmp_path, "image", "rm", "--unused")
    assert gathered.exit_code == 0 and "needed by POD lab/pod1" in gathered.stdout
    assert image.exists() and not other.exists()
    overlay.unlink()
    assert run(tmp_path, "image", "rm", image.stem[:12]).exit_code == 0
    assert not image.exists() and list((layout.cache_dir / "images/index").iterdir()) == []


def test_a_snapshot_upon_a_disk_counts(tmp_path: Path, layout: Layout, image: Path) -> None:
    overlay = make_overlay(tmp_path / "elsewhere/root.qcow2", image)
    make_overlay(layout.state_dir / "pods/lab/pod1/pool/snapshot.qcow2", overlay)
    assert needed_by(tmp_path, image) == ["POD lab/pod1"]


def test_the_same_image_of_another_cache_is_another(tmp_path: Path, layout: Layout, image: Path) -> None:
    elsewhere = tmp_path / "other" / image.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(image.read_bytes())
    make_overlay(layout.state_dir / "pods/lab/pod1/pool/iec01.qcow2", elsewhere)
    assert needed_by(tmp_path, image) == []
    elsewhere.unlink()
    assert needed_by(tmp_path, image) == ["POD lab/pod1"], "what it was is no longer known"


def test_a_pod_whose_state_is_elsewhere_counts(tmp_path: Path, layout: Layout, image: Path) -> None:
    pod_dir = tmp_path / "storage/state/pods/lab/pod1"
    make_overlay(pod_dir / "pool/iec01.qcow2", image)
    assert needed_by(tmp_path, image) == []
    for _ in range(2):
        note_pod(layout.cache_dir, pod_dir)
    assert noted_pod_dirs(layout.cache_dir) == [pod_dir]
    assert needed_by(tmp_path, image) == [f"POD lab/pod1 (its state is in {pod_dir})"]


def test_disks_that_cannot_be_judged_count(tmp_path: Path, layout: Layout, image: Path) -> None:
    """The name that the header gives is longer than any file's."""
    pool = layout.state_dir / "pods/lab/pod1/pool"
    pool.mkdir(parents=True)
    qemu_img("create", "-u", "-f", "qcow2", "-F", "raw", "-b", "x" * 300, pool / "iec01.qcow2", "1M")
    (user,) = needed_by(tmp_path, image)
    assert user.startswith("POD lab/pod1 (cannot be looked at: ") and user.endswith("File name too long)")
    assert run(tmp_path, "image", "rm", image.stem).exit_code == 1 and image.exists()


@pytest.mark.parametrize("how", ["link", "libvirt"])
def test_a_disk_that_was_moved_elsewhere_counts(tmp_path: Path, layout: Layout, image: Path, how: str) -> None:
    """Onto another file system, by hand."""
    disk = make_overlay(tmp_path / "large/iec01.qcow2", image)
    pod_dir = layout.state_dir / "pods/lab/pod1"
    for directory in ("pool", "libvirt/etc/qemu"):
        (pod_dir / directory).mkdir(parents=True)
    if how == "link":
        (pod_dir / "pool/iec01.qcow2").symlink_to(disk)
    else:
        source = f"<domain><devices><disk><source dev='{disk}'/></disk></devices></domain>"
        (pod_dir / "libvirt/etc/qemu/iec01.xml").write_text(source)
    assert needed_by(tmp_path, image) == ["POD lab/pod1"]


def test_no_pipe_is_waited_for(tmp_path: Path, layout: Layout, image: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    qcow2 = layout.state_dir / "pods/lab/pod1/pool/iec01.qcow2"
    qcow2.parent.mkdir(parents=True)
    qemu_img("create", "-u", "-f", "qcow2", "-F", "raw", "-b", tmp_path / "pipe", qcow2, "1M")
    (user,) = needed_by(tmp_path, image)
    assert user == f"POD lab/pod1 (cannot be looked at: {tmp_path}/pipe: It is no disk)"


@pytest.mark.parametrize("place", ["state/pods/lab", "cache/images/pods"])
def test_places_that_cannot_be_read_end_a_removal(tmp_path: Path, layout: Layout, image: Path, place: str) -> None:
    """PODs and notes that are not seen are not PODs that are not there."""
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place).chmod(0)
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    argv = [*unprivileged, sys.executable, "-m", "iecpod", "image", "rm", image.stem]
    environ = {f"IECPOD_{name.upper()}_DIR": str(tmp_path / name) for name in ("state", "cache", "runtime")}
    done = subprocess.run(argv, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    (tmp_path / place).chmod(0o755)
    assert (done.returncode, image.exists()) == (1, True), done.stderr
    assert "Permission denied" in done.stderr and place in done.stderr and "Traceback" not in done.stderr


def test_a_libvirt_that_is_stopped_has_domains(tmp_path: Path) -> None:
    (tmp_path / "etc/libvirt/qemu").mkdir(parents=True)
    assert system_uris(tmp_path) == ()
    (tmp_path / "etc/libvirt/qemu/slave.xml").touch()
    assert system_uris(tmp_path) == (SYSTEM,)


def test_parts_that_guests_have_as_disks_count(tmp_path: Path, layout: Layout) -> None:
    """By what the embedded libvirtd has on record, also while it does not run."""
    disk, other = (make_artifact(layout, "disks", {"number": number}) for number in (1, 2))
    record = layout.state_dir / "pods/lab/pod1/libvirt/etc/qemu/iec01.xml"
    record.parent.mkdir(parents=True)
    source = f"<source file='{disk}/file'/>"
    record.write_text(f"<!-- made by libvirt --><domain><devices><disk>{source}</disk></devices></domain>")
    assert (needed_by(tmp_path, disk), needed_by(tmp_path, other)) == (["POD lab/pod1"], [])
    assert run(tmp_path, "image", "rm", "--unused", "--parts").exit_code == 0
    assert disk.exists() and not other.exists()
    record.write_text("<domain>")
    (user,) = needed_by(tmp_path, disk)
    assert user.startswith("POD lab/pod1 (cannot be looked at: ")


def test_parts_that_are_noted_of_a_pod_count(tmp_path: Path, layout: Layout) -> None:
    part = make_artifact(layout, "parts", {"number": 1})
    pod_dir = layout.state_dir / "pods/lab/pod1"
    pod_dir.mkdir(parents=True)
    save_pod(pod_dir, saved_pod(uri=EMBEDDED, release=f"somewhere/{part.name}.yaml"), pods.INSTALLATION)
    assert needed_by(tmp_path, part) == ["POD lab/pod1"]


def test_a_hypervisor_that_does_not_answer_counts(
    tmp_path: Path, layout: Layout, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod_dir = layout.state_dir / "pods/lab/pod1"
    pod_dir.mkdir(parents=True)
    save_pod(pod_dir, saved_pod(uri=SYSTEM), pods.INSTALLATION)
    take_away(monkeypatch)
    (user,) = needed_by(tmp_path, image)
    assert user.startswith(f"perhaps a domain at {SYSTEM} (cannot be looked at: ")
    assert run(tmp_path, "image", "rm", image.stem).exit_code == 1 and image.exists()


def test_a_hypervisor_that_never_answers_counts(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its daemon hangs: the call is taken, and that is all."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        take_to(monkeypatch, tmp_path / "socket")
        users = find_users([image], [], [SYSTEM], patience_seconds=1)
    assert users == {image: (f"perhaps a domain at {SYSTEM} (cannot be looked at: libvirt did not answer within 1 s)",)}


def test_domains_of_others_count(tmp_path: Path, layout: Layout, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = make_overlay(tmp_path / "theirs/disk.qcow2", image)
    volume = make_overlay(tmp_path / "theirs/volume.qcow2", image)
    volume_xml = "<volume><name>volume.qcow2</name><capacity>1048576</capacity></volume>"
    pool_xml = f"<name>theirs</name><target><path>{volume.parent}</path></target>{volume_xml}"
    sources = ("type='file'", f"file='{disk}'"), ("type='volume'", "pool='theirs' volume='volume.qcow2'")
    domains = [
        f"<domain type='test'><name>slave{number}</name><memory>65536</memory><os><type>hvm</type></os><devices>"
        f"<disk {kind} device='disk'><source {source}/><target dev='vda'/></disk></devices></domain>"
        for number, (kind, source) in enumerate(sources)
    ]
    put_in_place(monkeypatch, f"<node>{''.join(domains)}<pool type='dir'>{pool_xml}</pool></node>", tmp_path)
    pod_dir = layout.state_dir / "pods/lab/pod1"
    pod_dir.mkdir(parents=True)
    save_pod(pod_dir, saved_pod(uri=HypervisorUri(TEST_URI)), pods.INSTALLATION)
    assert sorted(needed_by(tmp_path, image)) == [f"domain slave{number} at {TEST_URI}" for number in (0, 1)]
    disk.unlink()
    assert needed_by(tmp_path, image) == [f"domain slave1 at {TEST_URI}"]
    volume.unlink()
    assert needed_by(tmp_path, image) == []


@pytest.mark.parametrize("kind", ["image", "part"])
def test_a_process_that_has_it_open_counts(tmp_path: Path, layout: Layout, kind: str) -> None:
    image = make_image(layout, "a" * 64, "1M") if kind == "image" else make_artifact(layout, "parts", {"number": 1})
    opened = image if kind == "image" else image / "file"
    reader = [sys.executable, "-c", "import sys; file = open(sys.argv[1]); print('', flush=True); sys.stdin.read()"]
    with subprocess.Popen([*reader, opened], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        (user,) = needed_by(tmp_path, image)
        assert user.startswith("process python") and user.endswith(f"(pid {process.pid})")
        assert run(tmp_path, "image", "rm", image.stem).exit_code == 1 and image.exists()
        process.communicate()
    assert needed_by(tmp_path, image) == []


def test_names(tmp_path: Path, layout: Layout) -> None:
    one, other = make_image(layout, "abcd1" * 10, "1M"), make_image(layout, "abcd2" * 10, "2M")
    result = run(tmp_path, "image", "rm", "abcd", "abc", "nothing", "abcd1")
    assert result.exit_code == 1 and result.exception is not None
    shown = str(result.exception)
    assert "'abcd' may be " in shown and one.stem in shown and other.stem in shown
    assert "there is no 'abc' in the cache" in shown and "there is no 'nothing' in the cache" in shown
    assert one.exists() and other.exists()
    removed = run(tmp_path, "image", "rm", "abcd1", one.stem, "abcd2" * 10)
    assert removed.exit_code == 0 and removed.stdout.count("removed") == 2
    assert find_items(layout.cache_dir) == []


def test_unused_and_old(tmp_path: Path, layout: Layout, image: Path) -> None:
    old, bundle = make_image(layout, "b" * 64, "2M"), make_artifact(layout, "bundles", {"n": 1})
    set_last_use(layout, old, 8 * DAY)
    manifest, lease = bundle / "manifest.json", layout.cache_dir / "locks" / f"bundles-{bundle.name}.use"
    for path in (manifest, lease):
        os.utime(path, (0, 0))
    arguments = ("image", "rm", "--unused", "--older-than", "7d")
    dry = run(tmp_path, *arguments, "--dry-run", "--parts")
    assert dry.stdout.count("would remove") == 2 and "not old enough" in dry.stdout
    assert all(path.exists() for path in (old, bundle, image))
    assert run(tmp_path, *arguments).exit_code == 0
    assert image.exists() and bundle.exists() and not old.exists()
    assert "removed" in run(tmp_path, *arguments, "--parts").stdout
    assert image.exists() and not bundle.exists()
    assert [path.name for path in (layout.cache_dir / "work").iterdir() if path.is_dir()] == []
    assert run(tmp_path, "image", "rm", "--unused").exit_code == 0 and not image.exists()
    assert run(tmp_path, "image", "rm", "--unused").stdout == "nothing is left over\n"


@pytest.mark.parametrize(
    "arguments",
    [(), ("abcd", "--unused"), ("abcd", "--older-than", "2d"), ("abcd", "--parts"), ("--unused", "--older-than", "x")],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, "image", "rm", *arguments).exit_code == 2


def test_names_are_completed(tmp_path: Path, layout: Layout, image: Path) -> None:
    assert proposals(tmp_path, ["image", "rm"], image.stem[:2]) == [image.stem]
    assert proposals(tmp_path, ["image", "rm"], "z") == []
    assert proposals(tmp_path, ["image", "bake", "--release"], "d") == ["debian12"]


def test_other_storage(tmp_path: Path, layout: Layout) -> None:
    stored = layout.stored_in(tmp_path / "storage")
    image = make_image(stored, "a" * 64, "1M")
    assert run(tmp_path, "image", "ls").stdout == "the cache is empty\n"
    assert image.stem[:12] in run(tmp_path, "image", "ls", "-S", "storage").stdout
    assert run(tmp_path, "image", "rm", "-S", "storage", image.stem).exit_code == 0 and not image.exists()


@pytest.fixture
def release_file(tmp_path: Path) -> Iterator[Path]:
    """A release whose image is a file."""
    data: Any = load_yaml(run(tmp_path, "releases", "show", "k8s-1.37").stdout, "release").data
    source = tmp_path / "source.qcow2"
    qemu_img("create", "-f", "qcow2", source, "3M")
    data["image"] = {"type": "file", "location": {Arch.of_this_machine().value: str(source)}}
    path = tmp_path / "mine.yaml"
    path.write_text(dump_yaml(data))
    yield path


def test_bake(tmp_path: Path, layout: Layout, release_file: Path) -> None:
    first = run(tmp_path, "image", "bake", "--release", str(release_file))
    assert first.exit_code == 0, first.output
    path = Path(first.stdout.strip())
    assert path.is_file() and path.is_relative_to(layout.cache_dir)
    inode = path.stat().st_ino
    again = run(tmp_path, "image", "bake", "--release", str(release_file))
    assert (again.exit_code, again.stdout, path.stat().st_ino) == (0, first.stdout, inode)
    (item,) = find_items(layout.cache_dir)
    assert item.what == f"k8s-1.37 for {Arch.of_this_machine().value}, copied"
    other = run(tmp_path, "image", "bake", "--release", str(release_file), "-o", "beos")
    assert other.exit_code == 1 and "has no base image 'beos'" in str(other.exception)


def test_bake_warns_of_a_release_file_whose_image_is_built_here(tmp_path: Path, release_file: Path) -> None:
    data: Any = load_yaml(release_file.read_text(), "release").data
    built: Any = load_yaml(run(tmp_path, "releases", "show", "debian12").stdout, "release").data
    data["image"] = {**built["image"], "keyring": "/does/not/exist.gpg"}
    release_file.write_text(dump_yaml(data))
    done = run(tmp_path, "image", "bake", "--release", str(release_file))
    assert done.exit_code != 0 and "/does/not/exist.gpg" in str(done.exception)
    assert "[release-builds-as-root]" in done.stderr and str(release_file) in done.stderr
