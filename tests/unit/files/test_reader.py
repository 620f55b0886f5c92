"""Files that users name are plain files, or refused at once: a pipe or a device may never end."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from iecpod.files.reader import is_directory, is_file, open_regular, read_own, read_regular
from tests.unit.images.bundle.test_hostile_bundles import make_directory

ROOT = Path(__file__).parents[3]


def test_a_plain_file_is_read_as_far_as_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file") == read_regular(tmp_path / "link") == b"content"
    assert read_regular(tmp_path / "file", 3) == b"con"
    with open_regular(tmp_path / "file") as file:
        assert os.get_inheritable(file.fileno()) is False


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A directory of what is no plain file, and of links to it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket is short
        server.bind("socket")
        os.chdir(before)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "number", "reason"),
    [
        ("pipe", errno.EINVAL, "It is a pipe, not a file"),
        ("link", errno.EINVAL, "It is a pipe, not a file"),
        ("device", errno.EINVAL, "It is a device, not a file"),
        ("socket", errno.ENXIO, "No such device or address"),
        ("directory", errno.EISDIR, "Is a directory"),
        ("missing", errno.ENOENT, "No such file or directory"),
        ("n" * 256, errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_everything_else_is_refused_by_its_name(odd: Path, name: str, number: int, reason: str) -> None:
    with pytest.raises(OSError) as caught:
        read_regular(odd / name)
    assert (caught.value.errno, caught.value.strerror, caught.value.filename) == (number, reason, str(odd / name))


def test_of_its_own_files_iecpod_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    assert read_own(tmp_path / "file") == b"content"
    with pytest.raises(OSError) as caught:
        read_own(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP


def test_what_cannot_be_looked_at_is_neither_file_nor_directory(odd: Path) -> None:
    (odd / "file").touch()
    assert is_file(odd / "file") and is_directory(odd / "directory")
    assert not is_file(odd / ("n" * 256)) and not is_directory(odd / ("n" * 256))
    assert not is_file(odd / "pipe") and not is_directory(odd / "pipe")


POD = ("-l", "arm", "-p", "virtual1")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("validate", "PIPE"), 3, "PIPE: error: It is a pipe, not a file [descriptor-missing]"),
        (("validate", "-b", "BASE", "-l", "lab", "-p", "pod"), 3, "It is a pipe, not a file [descriptor-missing]"),
        (
            ("validate", *POD, "--eyaml-private-key", "PIPE", "--eyaml-public-key", "PIPE"),
            2,
            "It is a pipe, not a file",
        ),
        (("releases", "show", "PIPE"), 2, "there is no release file PIPE"),
        (("plan", *POD, "--release", "PIPE"), 2, "there is no release file PIPE"),
        (("plan", *POD, "--ca-cert", "PIPE"), 2, "--ca-cert: PIPE: It is a pipe, not a file"),
        (("plan", *POD, "--manifest", "calico=PIPE"), 2, "there is no file PIPE"),
        (("plan", *POD, "--repository-key", "kubernetes=PIPE"), 2, "there is no file PIPE"),
        (("plan", *POD, "--bundle", "PIPE"), 2, "PIPE is neither a directory nor a file"),
        (("bundle", "show", "PIPE"), 2, "PIPE is neither a directory nor a file"),
        (("bundle", "verify", "BUNDLE", "--bundle-signers", "PIPE"), 2, "the signers PIPE: It is a pipe, not a file"),
        (("bundle", "sign", "BUNDLE", "--key", "PIPE"), 2, "there is no key PIPE"),
        (("deploy", *POD, "--provider", "existing", "--key", "PIPE"), 2, "--key: PIPE is not a plain file"),
        (("deploy", *POD, "--password-file", "PIPE"), 2, "--password-file: PIPE: It is a pipe, not a file"),
        (("bundle", "verify", "PIPE"), 2, "PIPE is neither a directory nor a file"),
        (("deploy", *POD, "--report", "PIPE"), 2, "--report: PIPE cannot be written"),
        (("deploy", *POD, "--events", "PIPE"), 2, "events cannot be written to PIPE"),
        (("deploy", *POD, "--log-file", "PIPE"), 2, "the archive PIPE cannot be written"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_no_command_waits_for_a_pipe(tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    """Nobody writes to it: whoever opened it as a file would wait for ever."""
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    (tmp_path / "labs" / "lab").mkdir(parents=True)
    for name in ("pod.yaml", "idf-pod.yaml"):
        (tmp_path / "labs" / "lab" / name).symlink_to(pipe)
    bundle = make_directory(tmp_path / "bundle")
    (bundle / "manifest.json.sig").write_bytes(b"no signature")
    places = {"PIPE": pipe, "BASE": tmp_path, "BUNDLE": bundle}
    meant = [str(places.get(word, word.replace("PIPE", str(pipe)))) for word in arguments]
    environ = {f"IECPOD_{name}_DIR": str(tmp_path / name.lower()) for name in ("STATE", "CACHE", "RUNTIME")}
    done = subprocess.run(
        [sys.executable, "-m", "iecpod", *meant],
        env={**os.environ, **environ},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert message.replace("PIPE", str(pipe)) in done.stdout + done.stderr
