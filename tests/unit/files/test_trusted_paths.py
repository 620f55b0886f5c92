"""State, cache and runtime directories that others may change are refused, and what they forged in them is not used."""

from __future__ import annotations

import json
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from iecpod.adapters.pod_lock import pod_lock
from iecpod.cache.artifacts import SEEN, Cache, find_damage, load_artifact
from iecpod.cache.base_images import ImageStore, NewImage
from iecpod.cache.hashed_files import Fingerprint, write_json
from iecpod.cli.main import main
from iecpod.errors import ExitCode, PathRefused
from iecpod.files.trusted_paths import check_directory, check_layout, make_directory
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.pods.directory import NOTE, check_pod_dir, load_saved, make_pod_dir, pod_dir_of, save_pod
from iecpod.ports import BaseImage
from iecpod.ssh.keys import ensure_pod_keys
from tests import pods
from tests.fakes import RecordingReporter
from tests.pod_requests import saved_pod
from tests.unit.command_line import layout_below, run

#: Of another user, who is unknown on this machine.
STRANGER = 54321
REF = PodRef("local", "virtual1")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the owner of files")


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_below(tmp_path)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def give_away(path: Path) -> None:
    os.chown(path, STRANGER, -1, follow_symlinks=False)


def open_to_group(path: Path) -> None:
    path.chmod(0o770)


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


def open_but_sticky(path: Path) -> None:
    path.chmod(0o1777)


CHANGES = [
    pytest.param(give_away, f"it belongs to user {STRANGER}", "`chown -h root {0}`", marks=as_root, id="owner"),
    pytest.param(open_to_group, "its mode is 0770", "`chmod go-w {0}`", id="group"),
    pytest.param(open_to_all, "its mode is 0777", "`chmod go-w {0}`", id="all"),
    pytest.param(open_but_sticky, "its mode is 1777", "`chmod go-w {0}`", id="sticky"),
]


@pytest.mark.parametrize(("change", "why", "remedy"), CHANGES)
def test_a_directory_that_others_may_change_is_refused(
    tmp_path: Path, change: Callable[[Path], None], why: str, remedy: str
) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    check_directory(directory)
    change(directory)
    with pytest.raises(PathRefused) as caught:
        check_directory(directory)
    assert caught.value.cause == f"{directory} is not used, since others may change it: {why}"
    assert remedy.format(directory) in caught.value.remedy and "IECPOD_STATE_DIR" in caught.value.remedy
    assert caught.value.exit_code is ExitCode.PREFLIGHT


@pytest.mark.parametrize("change", [pytest.param(give_away, marks=as_root), open_to_group, open_to_all])
def test_so_is_one_that_others_may_put_another_in_the_place_of(tmp_path: Path, change: Callable[[Path], None]) -> None:
    above = tmp_path / "above"
    (above / "middle" / "state").mkdir(parents=True)
    change(above)
    for directory in (above / "middle" / "state", above / "not yet"):
        with pytest.raises(PathRefused) as caught:
            check_directory(directory)
        assert caught.value.cause.startswith(f"{above} is not used")


def test_in_a_sticky_directory_nobody_can(tmp_path: Path) -> None:
    above = tmp_path / "tmp"
    (above / "state").mkdir(parents=True)
    above.chmod(0o1777)
    check_directory(above / "state")
    check_directory(above / "not yet")


@as_root
def test_a_directory_that_somebody_else_made_first_in_a_sticky_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    give_away(tmp_path / "state")
    tmp_path.chmod(0o1777)
    with pytest.raises(PathRefused):
        check_directory(tmp_path / "state" / "pods")


def test_links_are_followed_to_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "real" / "state").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/../real")
    check_directory(tmp_path / "link" / "state")
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(PathRefused) as caught:
        check_directory(tmp_path / "link" / "state")
    assert caught.value.cause.startswith(f"{tmp_path / 'real'} is not used")


@as_root
def test_a_link_of_somebody_else_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    give_away(tmp_path / "link")
    with pytest.raises(PathRefused) as caught:
        check_directory(tmp_path / "link")
    assert caught.value.cause == (
        f"{tmp_path / 'link'} is not used, since others may change it: it belongs to user {STRANGER}"
    )


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for path, reason in (
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "file" / "state", "Not a directory"),
        (tmp_path / "loop", "Too many levels of symbolic links"),
        (tmp_path / ("n" * 256), "File name too long"),
    ):
        with pytest.raises(PathRefused, match=reason):
            check_directory(path)


@pytest.mark.parametrize("below", ["state/pods", "state/log", "cache/images/index", "cache/locks", "runtime/locks/lab"])
def test_directories_below_are_looked_at_too(tmp_path: Path, layout: Layout, below: str) -> None:
    (tmp_path / below).mkdir(parents=True)
    check_layout(layout)
    (tmp_path / below).chmod(0o777)
    with pytest.raises(PathRefused) as caught:
        check_layout(layout)
    assert caught.value.cause.startswith(f"{tmp_path / below} is not used")


@as_root
def test_what_libvirtd_gives_to_the_user_of_qemu_is_accepted(layout: Layout) -> None:
    (layout.cache_dir / "libvirt" / "qemu").mkdir(parents=True)
    give_away(layout.cache_dir / "libvirt" / "qemu")
    check_layout(layout)
    make_pod_dir(layout, REF)
    (pod_dir_of(layout, REF) / "libvirt" / "lib").mkdir(parents=True)
    (pod_dir_of(layout, REF) / "nvram" / "VARS.fd").touch()
    for path in ("libvirt/lib", "nvram/VARS.fd"):
        give_away(pod_dir_of(layout, REF) / path)
    check_pod_dir(layout, REF)


@pytest.mark.parametrize("below", ["", "keys", "libvirt", "console"])
def test_so_are_those_of_a_pod_for_that_pod_only(layout: Layout, below: str) -> None:
    make_pod_dir(layout, REF)
    directory = pod_dir_of(layout, REF) / below
    directory.mkdir(exist_ok=True)
    check_pod_dir(layout, REF)
    directory.chmod(0o777)
    check_layout(layout)
    check_pod_dir(layout, PodRef("local", "other"))
    with pytest.raises(PathRefused) as caught:
        check_pod_dir(layout, REF)
    assert caught.value.cause.startswith(f"{directory} is not used")


def test_users_groups_of_their_own_may_write_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many systems have it, with umask 002; a group that others are in may not."""
    me, group = os.geteuid(), tmp_path.stat().st_gid
    above = tmp_path / "home"
    (above / "state").mkdir(parents=True)
    above.chmod(0o775)
    members: list[str] = []

    class Group:
        gr_name = "me"
        gr_mem = members

    user = pwd.struct_passwd(("me", "x", me or 1000, group, "", "/home/me", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: user)
    monkeypatch.setattr("grp.getgrgid", lambda _gid: Group)
    check_directory(above / "state")
    members.append("somebody")
    with pytest.raises(PathRefused):
        check_directory(above / "state")
    members.clear()
    (above / "state").chmod(0o775)
    with pytest.raises(PathRefused):
        check_directory(above / "state")


@pytest.mark.usefixtures("open_umask")
def test_nothing_is_made_for_others_to_write(tmp_path: Path, layout: Layout) -> None:
    make_pod_dir(layout, REF)
    save_pod(pod_dir_of(layout, REF), saved_pod(uri=EMBEDDED), pods.INSTALLATION)
    ensure_pod_keys(pod_dir_of(layout, REF) / "keys", "c")
    cache = Cache(layout.cache_dir, RecordingReporter())
    add_image(cache)
    with pod_lock(layout, REF, wait_seconds=0):
        modes = {path: mode_of(path) for path in tmp_path.rglob("*")}
    assert len(modes) > 15
    assert {str(path): oct(mode) for path, mode in modes.items() if mode & 0o022} == {}
    check_layout(layout)


@pytest.mark.usefixtures("open_umask")
def test_the_command_line_has_a_umask_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"IECPOD_{name}_DIR", str(tmp_path / "new" / name.lower()))
    assert main(["labs"]) == 0
    assert os.umask(0o022) == 0o022
    assert mode_of(tmp_path / "new" / "state") == mode_of(tmp_path / "new") == 0o755
    assert mode_of(tmp_path / "new" / "state" / "log" / "iecpod.log") == 0o600


def test_a_directory_that_was_made_by_somebody_else_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(path: Path, mode: int = 0o777) -> None:
        os.mkdir(path)  # noqa: PTH102
        path.chmod(0o777)
        raise FileExistsError

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(PathRefused):
        make_directory(tmp_path / "state")


def test_no_log_is_written_where_others_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link planted there would have been written through, as root."""
    for name in ("STATE", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"IECPOD_{name}_DIR", str(tmp_path / name.lower()))
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "state" / "log").mkdir(parents=True)
    (tmp_path / "state" / "log" / "iecpod.log").symlink_to(victim)
    for opened in (tmp_path / "state", tmp_path / "state" / "log"):
        opened.chmod(0o777)
        assert main(["rules"]) == 0
        assert main(["labs"]) == 4
        opened.chmod(0o755)
    assert main(["rules"]) == 0
    assert victim.read_text() == "untouched"


VERBS = [
    ("labs",),
    ("gc", "--older-than", "1d"),
    ("image", "ls"),
    ("image", "rm", "x"),
    ("image", "bake", "--release", "debian12"),
    ("bundle", "build", "--release", "debian12"),
    *((verb, "-l", "local", "-p", "virtual1") for verb in ("deploy", "redeploy", "plan", "status", "teardown")),
    *((verb, "-l", "local", "-p", "virtual1") for verb in ("ssh", "kubectl", "kubeconfig", "console", "logs")),
    ("export", "-l", "local", "-p", "virtual1", "env"),
]


@pytest.mark.parametrize("directory", ["state", "cache", "runtime"])
@pytest.mark.parametrize("arguments", VERBS, ids=lambda arguments: "-".join(arguments[:2]))
def test_every_verb_that_believes_them_refuses(tmp_path: Path, arguments: tuple[str, ...], directory: str) -> None:
    (tmp_path / directory).mkdir()
    (tmp_path / directory).chmod(0o777)
    result = run(tmp_path, *arguments)
    assert isinstance(result.exception, PathRefused)
    assert str(tmp_path / directory) in result.exception.cause


@pytest.mark.parametrize("below", ["", "state", "cache"])
@pytest.mark.parametrize("arguments", [verb for verb in VERBS if verb[0] not in ("labs", "gc", "bundle")])
def test_so_does_one_with_a_directory_of_its_own(tmp_path: Path, arguments: tuple[str, ...], below: str) -> None:
    stored = tmp_path / "stored"
    (stored / below).mkdir(parents=True)
    (stored / below).chmod(0o777)
    verb = arguments[: 2 if arguments[0] == "image" else 1]
    result = run(tmp_path, *verb, "-S", str(stored), *arguments[len(verb) :])
    assert isinstance(result.exception, PathRefused)
    assert result.exception.cause.startswith(f"{stored / below} is not used")


def add_image(cache: Cache) -> BaseImage:
    def make(work: Path) -> NewImage:
        (work / "new").write_bytes(b"disk")
        return NewImage(work / "new", "qcow2", 1024)

    return ImageStore(cache).ensure("key", "making the image", make)


def make_artifact(cache: Cache) -> Path:
    def make(directory: Path) -> dict[str, Any]:
        (directory / "inner").mkdir()
        (directory / "inner/file").write_bytes(b"content")
        return {}

    return cache.ensure("things", {"recipe": "one"}, make, "making the thing").path


def forge(path: Path, content: bytes) -> list[int]:
    """Of the same size; the fingerprint that a forger writes down."""
    path.chmod(0o644)
    path.write_bytes(content)
    return Fingerprint.of(path).as_list()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", RecordingReporter())


FOREIGN = [pytest.param(give_away, marks=as_root, id="owner"), pytest.param(open_to_group, id="group")]


@pytest.mark.parametrize("change", FOREIGN)
def test_an_index_entry_that_others_may_write_is_refused(cache: Cache, change: Callable[[Path], None]) -> None:
    image = add_image(cache)
    entry = cache.root / "images/index/key.json"
    write_json(entry, {**json.loads(entry.read_text()), "seen": forge(image.path, b"evil")})
    change(entry)
    with pytest.raises(PathRefused) as caught:
        ImageStore(cache).find("key")
    assert str(entry) in caught.value.cause and "remove it" in caught.value.remedy


@pytest.mark.parametrize("change", FOREIGN)
def test_an_image_that_others_may_write_is_hashed_each_time(
    cache: Cache, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt gives disks to the user that QEMU runs as: such an image is used, as long as it is what it was."""
    image = add_image(cache)
    change(image.path)
    store = ImageStore(cache)
    assert store.find("key") == image
    entry = cache.root / "images/index/key.json"
    write_json(entry, {**json.loads(entry.read_text()), "seen": forge(image.path, b"evil")})
    change(image.path)
    assert store.find("key") is None


def test_an_image_that_is_a_link_is_none(cache: Cache, tmp_path: Path) -> None:
    image = add_image(cache)
    (tmp_path / "elsewhere").write_bytes(b"disk")
    image.path.unlink()
    image.path.symlink_to(tmp_path / "elsewhere")
    assert ImageStore(cache).find("key") is None


@pytest.mark.parametrize("name", ["manifest.json", SEEN])
@pytest.mark.parametrize("change", FOREIGN)
def test_what_an_artifact_says_of_itself_is_not_believed_of_others(
    cache: Cache, change: Callable[[Path], None], name: str
) -> None:
    path = make_artifact(cache)
    change(path / name)
    with pytest.raises(PathRefused) as caught:
        make_artifact(cache)
    assert str(path / name) in caught.value.cause


@pytest.mark.parametrize("change", FOREIGN)
def test_a_file_of_an_artifact_that_others_may_write_is_hashed(cache: Cache, change: Callable[[Path], None]) -> None:
    path = make_artifact(cache)
    change(path / "inner/file")
    artifact = load_artifact(path, path.name)
    assert artifact is not None and find_damage(artifact) == ()
    write_json(path / SEEN, {"inner/file": forge(path / "inner/file", b"CONTENT")})
    change(path / "inner/file")
    assert find_damage(artifact) == ("inner/file",)


@pytest.mark.parametrize("below", ["", "inner"])
def test_so_is_none_of_a_directory_that_others_may_write(cache: Cache, below: str) -> None:
    path = make_artifact(cache)
    (path / below).chmod(0o777)
    with pytest.raises(PathRefused):
        make_artifact(cache)


def test_a_foreign_entry_keeps_no_list_from_being_made(tmp_path: Path, layout: Layout) -> None:
    cache = Cache(layout.cache_dir, RecordingReporter())
    image, path = add_image(cache), make_artifact(cache)
    (layout.cache_dir / "images/index/key.json").chmod(0o666)
    (path / "manifest.json").chmod(0o666)
    listed = run(tmp_path, "image", "ls", "-o", "json")
    assert {item["name"] for item in json.loads(listed.stdout)} == {image.sha256, path.name}


@pytest.mark.parametrize("change", FOREIGN)
def test_a_note_that_others_may_write_is_refused(layout: Layout, change: Callable[[Path], None]) -> None:
    make_pod_dir(layout, REF)
    pod_dir = pod_dir_of(layout, REF)
    save_pod(pod_dir, saved_pod(uri=EMBEDDED), pods.INSTALLATION)
    change(pod_dir / NOTE)
    with pytest.raises(PathRefused) as caught:
        load_saved(pod_dir)
    assert str(pod_dir / NOTE) in caught.value.cause
