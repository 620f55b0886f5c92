"""What leads out of a directory is not opened, with openat2 and without."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from iecpod.images.confinement import untrusted_tree
from iecpod.images.confinement.untrusted_tree import Beneath, Links


@pytest.fixture(params=["openat2", "walk"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "walk":
        monkeypatch.setattr(untrusted_tree, "_has_openat2", lambda: False)
    elif not untrusted_tree._has_openat2():
        pytest.skip("the kernel has no openat2")
    return str(request.param)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """With all ways out; `outside` is what they lead to."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    tree = tmp_path / "tree"
    (tree / "inside").mkdir(parents=True)
    (tree / "inside/plain").write_text("plain")
    (tree / "absolute").symlink_to(tmp_path / "outside")
    (tree / "upwards").symlink_to("../outside")
    (tree / "file").symlink_to(tmp_path / "outside/secret")
    (tree / "magic").symlink_to("/proc/self/root")
    os.mkfifo(tree / "fifo")
    return tree


WAYS_OUT = [
    *("absolute/secret", "upwards/secret", "file", "../outside/secret", "inside/../../outside/secret"),
    *("magic/etc/passwd", "fifo", "inside", "nothing"),
]


def read(tree: Path, name: str, links: Links) -> str:
    with Beneath.of(tree, links) as inside, os.fdopen(inside.open_file(name)) as file:
        return file.read()


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("links", Links)
@pytest.mark.parametrize("name", WAYS_OUT)
def test_nothing_outside_is_read(tree: Path, name: str, links: Links) -> None:
    assert read(tree, "inside/plain", links) == "plain"
    with pytest.raises(OSError):
        read(tree, name, links)


def test_links_of_a_tree_lead_where_they_would_in_a_chroot(tree: Path, by: str) -> None:
    """The walk follows none at all."""
    (tree / "relative").symlink_to("inside/plain")
    (tree / "rooted").symlink_to("/inside/plain")
    (tree / "above").symlink_to("../../../inside/plain")
    for name in ("relative", "rooted", "above"):
        if by == "openat2":
            assert read(tree, name, Links.WITHIN) == "plain"
        else:
            with pytest.raises(OSError):
                read(tree, name, Links.WITHIN)
        with pytest.raises(OSError):
            read(tree, name, Links.NONE)


def write(tree: Path, name: str) -> None:
    with Beneath.of(tree, Links.WITHIN) as inside:
        inside.write_text(name, "new")


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize("name", ["/etc/containerd/config.toml", "inside/plain", "top"])
def test_a_file_is_written_with_the_modes_of_a_system(tree: Path, name: str) -> None:
    before = os.umask(0o077)
    try:
        write(tree, name)
    finally:
        os.umask(before)
    written = tree / name.lstrip("/")
    assert (written.read_text(), written.stat().st_mode & 0o7777) == ("new", 0o644)
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in tree.glob("etc/**/"))


def _hard_link(tree: Path, outside: Path) -> None:
    (tree / "etc").mkdir()
    os.link(outside / "secret", tree / "etc/x")


@pytest.mark.usefixtures("by")
@pytest.mark.parametrize(
    ("prepare", "name"),
    [
        (lambda tree, outside: (tree / "etc").symlink_to(outside), "etc/secret"),
        (lambda tree, outside: (tree / "etc").symlink_to("../outside"), "etc/secret"),
        (lambda tree, outside: (tree / "etc").symlink_to(outside), "etc/new/deep"),
        (lambda tree, outside: ((tree / "etc").mkdir(), (tree / "etc/x").symlink_to(outside / "secret")), "etc/x"),
        (_hard_link, "etc/x"),
        (lambda tree, outside: None, "magic/tmp/iecpod-was-here"),
        (lambda tree, outside: None, "../outside/secret"),
        (lambda tree, outside: None, "fifo"),
    ],
    ids=["absolute", "upwards", "deep", "file", "hard link", "magic", "name", "fifo"],
)
def test_nothing_outside_is_written(tree: Path, prepare: Callable[[Path, Path], object], name: str) -> None:
    """It may be written inside, or not at all."""
    outside = tree.parent / "outside"
    prepare(tree, outside)
    try:
        write(tree, name)
    except OSError:
        pass
    else:
        assert (tree / name).name in {path.name for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert not Path("/tmp/iecpod-was-here").exists()


@pytest.mark.usefixtures("by")
def test_names_are_those_of_a_directory_inside(tree: Path) -> None:
    with Beneath.of(tree, Links.WITHIN) as inside:
        assert inside.names("inside") == ["plain"]
        for name in ("absolute", "upwards", "fifo", "nothing"):
            with pytest.raises(OSError):
                inside.names(name)
