"""Files are written whole, on the disk before they have their name, with their mode, and through no link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iecpod.files.writer import (
    PRIVATE,
    READABLE,
    create_file,
    new_directory,
    new_file,
    open_append,
    replace_file,
    try_new_file,
)


@pytest.fixture(params=[0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Of whoever calls iecpod."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("mode", [PRIVATE, READABLE])
def test_a_mode_is_that_which_was_asked_for(tmp_path: Path, umask: int, mode: int) -> None:
    replace_file(tmp_path / "replaced", "text", mode)
    create_file(tmp_path / "created", "text", mode)
    assert mode_of(tmp_path / "replaced") == mode_of(tmp_path / "created") == mode
    assert names_in(tmp_path) == ["created", "replaced"]


def test_the_temporary_file_is_for_the_owner_only(tmp_path: Path, umask: int) -> None:
    with new_file(tmp_path / "file", READABLE):
        (temporary,) = tmp_path.iterdir()
        assert mode_of(temporary) == 0o600


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", "before", READABLE)
    with pytest.raises(RuntimeError), new_file(tmp_path / "file", READABLE) as file:
        file.write(b"half")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "before" and names_in(tmp_path) == ["file"]


def test_what_is_no_text_is_written_too(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", "a\udcffb", READABLE)
    assert (tmp_path / "file").read_bytes() == b"a\\udcffb"


def test_a_file_that_was_created_first_stays(tmp_path: Path) -> None:
    create_file(tmp_path / "file", "first", PRIVATE)
    create_file(tmp_path / "file", "second", PRIVATE)
    assert (tmp_path / "file").read_text() == "first" and names_in(tmp_path) == ["file"]


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    link, dangling = tmp_path / "report.json", tmp_path / "junit.xml"
    link.symlink_to(victim)
    dangling.symlink_to(tmp_path / "made-by-nobody")
    replace_file(link, "report", READABLE)
    replace_file(dangling, "report", READABLE)
    assert victim.read_text() == "untouched"
    assert not link.is_symlink() and link.read_text() == "report"
    assert not dangling.is_symlink() and not (tmp_path / "made-by-nobody").exists()


def test_a_link_to_a_victim_cannot_be_planted_at_the_temporary_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the name guessed, the file would not be made."""
    monkeypatch.setattr("secrets.token_hex", lambda _size: "guessed")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / ".iecpod-guessed.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError) as caught:
        replace_file(tmp_path / "report.json", "report", READABLE)
    assert caught.value.filename == str(tmp_path / "report.json")
    assert victim.read_text() == "untouched" and not (tmp_path / "report.json").exists()


def test_a_directory_that_is_swapped_meanwhile_gets_nothing(tmp_path: Path) -> None:
    """The file goes where its directory went: others may have put a link in its place."""
    workspace, moved, victim = tmp_path / "workspace", tmp_path / "moved", tmp_path / "victim"
    workspace.mkdir()
    victim.mkdir()
    with new_file(workspace / "report.json", READABLE) as file:
        workspace.rename(moved)
        workspace.symlink_to(victim)
        file.write(b"report")
    assert names_in(victim) == [] and names_in(moved) == ["report.json"]


@pytest.mark.parametrize("name", ["/dev/null", "/dev/full"])
def test_no_device_is_replaced(tmp_path: Path, name: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(name)
    for path in (Path(name), link):
        with pytest.raises(OSError, match="Not a regular file") as caught:
            replace_file(path, "report", READABLE)
        assert caught.value.filename == str(path)
    assert stat.S_ISCHR(Path(name).stat().st_mode)


def test_no_link_to_an_open_file_is_replaced(tmp_path: Path) -> None:
    """As /dev/stdout is one, which may lead to a plain file."""
    with (tmp_path / "output").open("w") as output:
        link = tmp_path / "stdout"
        link.symlink_to(f"/proc/self/fd/{output.fileno()}")
        with pytest.raises(OSError, match="Not a regular file"):
            replace_file(link, "report", READABLE)
    assert link.is_symlink()


def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for write in (
        lambda path: replace_file(path, "", READABLE),
        lambda path: open_append(path, READABLE),
        try_new_file,
    ):
        with pytest.raises(OSError):
            write(tmp_path / "pipe")


@pytest.mark.parametrize("write", [lambda path: replace_file(path, "x", READABLE), try_new_file])
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("missing/file", errno.ENOENT),
        ("file/file", errno.ENOTDIR),
        ("directory", errno.EISDIR),
        ("n" * 256, errno.ENAMETOOLONG),
    ],
)
def test_errors_name_the_file(tmp_path: Path, write: Callable[[Path], None], name: str, number: int) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError) as caught:
        write(tmp_path / name)
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / name))
    assert names_in(tmp_path) == ["directory", "file"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, new_file(tmp_path / "file", READABLE):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "file") and names_in(tmp_path) == []


def test_the_longest_name_is_possible(tmp_path: Path) -> None:
    replace_file(tmp_path / ("n" * 255), "text", READABLE)
    assert names_in(tmp_path) == ["n" * 255]


def test_file_and_directory_are_on_the_disk_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replace = os.replace

    def sync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"sync {kind}")

    def rename(*arguments: object, **directories: int) -> None:
        steps.append("rename")
        replace(*arguments, **directories)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    replace_file(tmp_path / "file", "text", READABLE)
    assert steps == ["sync file", "rename", "sync directory"]


def test_lines_are_appended_at_once(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "events"
    for line in ("one\n", "two \udcff\n"):
        stream = open_append(path, PRIVATE)
        stream.write(line)
        assert path.read_text().endswith(line.replace("\udcff", "\\udcff"))
        stream.close()
    assert path.read_text() == "one\ntwo \\udcff\n" and mode_of(path) == 0o600


def test_nothing_is_appended_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "link").symlink_to(victim)
    os.link(victim, tmp_path / "name")
    for name in ("link", "name"):
        with pytest.raises(OSError) as caught:
            open_append(tmp_path / name, READABLE)
        assert caught.value.filename == str(tmp_path / name)
    assert victim.read_text() == "untouched"


def test_a_directory_has_its_name_when_it_is_full(tmp_path: Path, umask: int) -> None:
    with new_directory(tmp_path / "bundle") as directory:
        (directory / "debs").mkdir()
        (directory / "debs/a.deb").write_text("a")
        (temporary,) = tmp_path.iterdir()
        assert mode_of(temporary) == 0o700
    assert names_in(tmp_path) == ["bundle"] and (tmp_path / "bundle/debs/a.deb").read_text() == "a"
    with pytest.raises(RuntimeError), new_directory(tmp_path / "second") as directory:
        (directory / "file").touch()
        raise RuntimeError
    assert names_in(tmp_path) == ["bundle"]


@pytest.mark.parametrize("kind", ["link", "dangling link", "file", "full directory"])
def test_a_name_that_is_taken_meanwhile_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    (tmp_path / "victim").mkdir()
    with pytest.raises(OSError, match="bundle"), new_directory(tmp_path / "bundle") as directory:
        (directory / "file").write_text("ours")
        if "link" in kind:
            (tmp_path / "bundle").symlink_to(tmp_path / ("nowhere" if "dangling" in kind else "victim"))
        elif kind == "file":
            (tmp_path / "bundle").touch()
        else:
            (tmp_path / "bundle/theirs").mkdir(parents=True)
    assert names_in(tmp_path) == ["bundle", "victim"] and names_in(tmp_path / "victim") == []
    assert not (tmp_path / "bundle/file").exists()


def test_who_replaces_the_unfinished_directory_leads_nothing_elsewhere(tmp_path: Path) -> None:
    """In a directory that others may write without a sticky bit."""
    victim, shared = tmp_path / "victim", tmp_path / "shared"
    for directory in (victim / "bundle", shared):
        directory.mkdir(parents=True)
    with new_directory(shared / "bundle") as unfinished:
        (temporary,) = shared.iterdir()
        temporary.rename(shared / "moved")
        temporary.symlink_to(victim)
        (unfinished / "file").write_text("ours")
    assert names_in(victim) == ["bundle"] and names_in(victim / "bundle") == []
    assert (shared / "bundle/file").read_text() == "ours"
