"""What the operating system refuses is an error with a name and a remedy, and no bug; closed streams are one, too."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from iecpod.cli.failures import explain_os_failure
from iecpod.cli.main import main
from iecpod.cli.options.login import make_login
from iecpod.errors import ExitCode

ROOT = Path(__file__).parents[3]
POD = ("-l", "arm", "-p", "virtual1")
LONG = "n" * 300


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    own = {f"IECPOD_{name}_DIR": str(tmp_path / name.lower()) for name in ("STATE", "CACHE", "RUNTIME")}
    return {**os.environ, "PYTHONPATH": str(ROOT), **own}


def shell(command: str, environ: dict[str, str], *, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """With the command as `$I`."""
    environ = {**environ, "I": f"{sys.executable} -m iecpod"}
    return subprocess.run(
        ["bash", "-c", command],
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "cause"),
    [
        (">&-", "standard output is closed"),
        (">/dev/full", "standard output cannot be written: No space left on device"),
    ],
)
@pytest.mark.parametrize("verb", ["schema pdf", "validate -l arm -p virtual1", "--help"])
def test_output_that_cannot_be_written_is_reported_and_fails(
    environ: dict[str, str], verb: str, redirection: str, cause: str
) -> None:
    done = shell(f"$I {verb} {redirection}", environ)
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith(
        f"iecpod: error: {cause}\niecpod: remedy: lead it to where there is room, or to /dev/null\n"
    )
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_nobody_has_to_read_standard_error(environ: dict[str, str], redirection: str) -> None:
    done = shell(f"$I schema pdf {redirection}", environ)
    assert done.returncode == 0 and '"$schema"' in done.stdout
    assert shell(f"$I validate /missing {redirection}", environ).returncode == ExitCode.DESCRIPTOR
    assert shell(f"$I status {redirection} {' '.join(POD)} -S ~nosuchuser", environ).returncode == ExitCode.USAGE
    assert shell(f"$I nonsense {redirection}", environ).returncode == ExitCode.USAGE


def test_closed_streams_are_nobody_else_s(environ: dict[str, str], tmp_path: Path) -> None:
    """The log, or what libvirt opens, would else get the number 2, and what programs print would be written into it."""
    done = shell("$I deploy -l arm -p missing 2>&-", environ)
    assert done.returncode == ExitCode.DESCRIPTOR
    log = (tmp_path / "state" / "log" / "iecpod.log").read_text()
    assert all(" ERROR iecpod: " in line or " INFO iecpod: " in line for line in log.splitlines())


def test_a_reader_that_goes_away_is_no_error(environ: dict[str, str]) -> None:
    done = shell("set -o pipefail; $I rules | head -n 1; echo ${PIPESTATUS[0]}", environ)
    assert done.stdout.splitlines()[0].startswith("RULE") and done.stderr == ""


@pytest.mark.parametrize(
    ("command", "code", "cause"),
    [
        (f"$I validate {LONG}", 3, f"{LONG}: error: File name too long"),
        (f"$I validate -l arm -p virtual1 -b {LONG}", 3, "error: File name too long"),
        (f"$I plan -l arm -p virtual1 --release ./{LONG}.yaml", 2, "there is no release file"),
        ("$I validate /etc/passwd/pod.yaml", 3, "/etc/passwd/pod.yaml: error: Not a directory"),
        (
            "IECPOD_STATE_DIR='~nosuchuser/x' $I labs",
            2,
            "IECPOD_STATE_DIR: there is no home directory for ~nosuchuser/x",
        ),
        ("$I status -l arm -p virtual1 -S '~nosuchuser/x'", 2, "-S: there is no home directory for ~nosuchuser/x"),
        (
            "$I plan -l arm -p virtual1 --bundle-signers '~nosuchuser/f'",
            2,
            "--bundle-signers: there is no home directory for ~nosuchuser/f",
        ),
        (
            "$I bundle verify /missing --bundle-signers '~nosuchuser/f'",
            2,
            "--bundle-signers: there is no home directory for ~nosuchuser/f",
        ),
        ("IECPOD_STATE_DIR=/etc/passwd $I labs", 4, "/etc/passwd cannot be used: Not a directory"),
        (
            "IECPOD_STATE_DIR=/etc/passwd/x $I status -l arm -p virtual1",
            4,
            "cannot be used: Not a directory: /etc/passwd",
        ),
        (f"IECPOD_CACHE_DIR=/tmp/{LONG} $I image ls", 4, "cannot be used: File name too long"),
        (f"$I deploy -l arm -p virtual1 --report {LONG}", 2, "cannot be written: File name too long"),
        ("$I deploy -l arm -p virtual1 --junit /etc/passwd/x", 2, "cannot be written: Not a directory"),
    ],
)
def test_paths_that_cannot_be_are_reported(environ: dict[str, str], command: str, code: int, cause: str) -> None:
    done = shell(command, environ)
    assert done.returncode == code, done.stderr
    assert cause in done.stdout + done.stderr and "bug" not in done.stderr


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ("LC_ALL=C PYTHONUTF8=0", "5 \u20ac"),  # click writes UTF-8 where Python says ASCII
        ("LC_ALL=C PYTHONIOENCODING=latin-1:strict", r"5 \u20ac"),
        ("LC_ALL=C", "5 \u20ac"),
    ],
)
def test_a_locale_without_utf_8_breaks_no_message(
    environ: dict[str, str], tmp_path: Path, locale: str, shown: str
) -> None:
    (tmp_path / "pod.yaml").write_text("5 \u20ac: 1\n", encoding="utf-8")
    as_user = f"env -u PYTHONIOENCODING -u PYTHONUTF8 -u LANG PYTHONCOERCECLOCALE=0 {locale}"
    done = shell(f"{as_user} $I validate {tmp_path}/pod.yaml", environ)
    assert done.returncode == ExitCode.DESCRIPTOR, done.stderr
    assert f"the key '{shown}' is unknown here" in done.stdout
    done = shell(f"{as_user} $I plan -l arm -p virtual1 --release {tmp_path}/\u20ac.yaml", environ)
    assert done.returncode == ExitCode.USAGE and "there is no release file" in done.stderr


def test_a_file_that_the_locale_cannot_name(monkeypatch: pytest.MonkeyPatch) -> None:
    error = UnicodeEncodeError("ascii", "/srv/g\u00e4ste.img", 6, 7, "ordinal not in range(128)")
    assert explain_os_failure(error) is None, "a bug, where names of files are UTF-8"
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    explained = explain_os_failure(error)
    assert explained is not None
    assert explained.cause == "the characters of '/srv/g\u00e4ste.img' are not those of the locale"
    assert "C.UTF-8" in explained.remedy


@pytest.mark.parametrize("verb", ["plan -l arm -p virtual1 -b some", "validate pod.yaml"])
def test_a_working_directory_that_is_gone_is_reported(environ: dict[str, str], tmp_path: Path, verb: str) -> None:
    (tmp_path / "gone").mkdir()
    done = shell(f"rmdir {tmp_path / 'gone'}; $I {verb}", environ, cwd=tmp_path / "gone")
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.splitlines()[-2:] == [
        "iecpod: error: the working directory cannot be used: No such file or directory",
        "iecpod: remedy: change to a directory that exists",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_user_without_a_home_is_reported(environ: dict[str, str]) -> None:
    as_nobody_known = "env -u HOME setpriv --reuid 54321 --clear-groups"
    if shell(f"{as_nobody_known} $I --version", environ).returncode != 0:
        pytest.skip("this checkout is not readable for other users")
    unset = "env -u IECPOD_STATE_DIR -u IECPOD_CACHE_DIR -u IECPOD_RUNTIME_DIR -u XDG_RUNTIME_DIR"
    done = shell(f"{unset} {as_nobody_known} $I labs", environ)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == (
        "iecpod: error: this user has no home directory, where iecpod keeps its state and its cache\n"
        "iecpod: remedy: set HOME, or name a directory in IECPOD_STATE_DIR\n"
    )


def test_a_user_without_a_home_has_no_known_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the host stay."""

    def find_no_user(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", find_no_user)
    assert make_login({}, {}).known_hosts == (Path("/etc/ssh/ssh_known_hosts"),)
    for name in ("STATE", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"IECPOD_{name}_DIR", str(tmp_path / name.lower()))
    assert main(["plan", "-l", "arm", "-p", "missing"]) == ExitCode.DESCRIPTOR


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads what it makes unreadable")
def test_directories_that_may_not_be_read_are_reported(environ: dict[str, str], tmp_path: Path) -> None:
    as_somebody = "setpriv --reuid 54321 --clear-groups"
    if shell(f"{as_somebody} $I --version", environ).returncode != 0:
        pytest.skip("this checkout is not readable for other users")
    done = shell(f"{as_somebody} $I labs", environ)
    assert done.returncode == ExitCode.PREFLIGHT and "Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied", "check its owner"),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", b"/x"),
            "/x: File name too long",
            "check the path",
        ),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x/y"), "/x/y: Not a directory", "check the path"),
        (OSError(errno.ETXTBSY, "Text file busy", "/x"), "/x: Text file busy", "see to the reason"),
        (OSError(errno.EIO, "Input/output error", 7), "file descriptor 7: Input/output error", "check the disk"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device", "make room"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files", "ulimit -n"),
    ],
)
def test_whatever_names_a_file_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, cause: str, remedy: str
) -> None:
    explained = explain_os_failure(error)
    assert explained is not None and explained.cause == cause and remedy in explained.remedy

    def fail(*_arguments: object) -> None:
        raise error

    for name in ("STATE", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"IECPOD_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setattr("iecpod.wiring.pods.Pods.teardown", fail)
    assert main(["teardown", *POD]) == ExitCode.FAILED


@pytest.mark.parametrize(
    "error", [ConnectionResetError(errno.ECONNRESET, "reset"), ProcessLookupError(), OSError("odd")]
)
def test_what_names_nothing_is_a_bug(error: OSError) -> None:
    assert explain_os_failure(error) is None
