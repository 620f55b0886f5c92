"""bootstrap.sh where it has to give up: it says why and what to do, and changes nothing. And what it has pip install.

That it works is shown by every run of CI, which begins with it. `dpkg-query` is a script that tells what a machine has,
and `python` one that notes how it was called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture
def machine() -> Iterator[Path]:
    """A checkout that every user can read, and a `bin` that comes first in PATH."""
    directory = Path(tempfile.mkdtemp(prefix="iecpod-bootstrap-"))
    directory.chmod(0o755)
    for name in ("bootstrap.sh", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    shutil.copytree(ROOT / "requirements", directory / "requirements")
    (directory / "bin").mkdir()
    yield directory
    shutil.rmtree(directory)


def has_packages(machine: Path, *, all_of_them: bool) -> None:
    answer = 'shift 2; for package; do printf "ii %s " "$package"; done' if all_of_them else "exit 1"
    (machine / "bin" / "dpkg-query").write_text(f"#!/bin/sh\n{answer}\n")
    (machine / "bin" / "dpkg-query").chmod(0o755)


def run(
    machine: Path, *command: str, user: int | None = None, within: Sequence[str] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*within, str(machine / "bootstrap.sh"), *command],
        env={"PATH": f"{machine}/bin:{os.environ['PATH']}", **environ},
        user=user,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_packages_are_missing_and_the_user_is_not_root(machine: Path) -> None:
    has_packages(machine, all_of_them=False)
    done = run(machine, "iecpod", "plan", user=NOBODY)
    assert done.returncode == 1
    assert "only root can install them" in done.stderr
    assert "qemu-system-arm" in done.stderr
    assert f"{machine}/bootstrap.sh iecpod plan" in done.stderr.splitlines()[-1]
    assert not (machine / ".venv").exists()


def test_python_is_too_old(machine: Path) -> None:
    has_packages(machine, all_of_them=True)
    done = run(machine, "true", IECPOD_PYTHON="/bin/false")
    assert done.returncode == 1
    assert "/bin/false is not Python 3.10 or later" in done.stderr
    assert "IECPOD_PYTHON" in done.stderr
    assert not (machine / ".venv").exists()


def test_the_environment_cannot_be_made(machine: Path) -> None:
    has_packages(machine, all_of_them=True)
    (machine / "file").write_text("")
    done = run(machine, "true", IECPOD_VENV=str(machine / "file" / "venv"))
    assert done.returncode == 1
    assert "could not be made" in done.stderr
    assert "IECPOD_VENV" in done.stderr


def makes_environments(machine: Path) -> Path:
    """A python whose environments have one like it, and `iecpod`; returns where calls are noted."""
    calls, python = machine / "calls", machine / "bin" / "python"
    python.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$*" >> {calls}
if [ "$2" = venv ]; then
    mkdir -p "$4/bin"
    cp "$0" "$4/bin/python"
    printf '#!/bin/sh\\n' > "$4/bin/iecpod"
    chmod +x "$4/bin/iecpod"
fi
"""
    )
    python.chmod(0o755)
    return calls


def test_nothing_is_installed_that_no_lock_file_has_a_digest_of(machine: Path) -> None:
    has_packages(machine, all_of_them=True)
    calls = makes_environments(machine)

    def pip_calls() -> list[str]:
        calls.unlink(missing_ok=True)
        done = run(machine, "true", IECPOD_PYTHON=str(machine / "bin" / "python"))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return [line.partition(" install ")[2] for line in calls.read_text().splitlines() if " pip " in line]

    hashed, locks = "--require-hashes --only-binary :all:", machine / "requirements"
    installed = [
        f"{hashed} --requirement {locks}/build.lock",
        f"{hashed} --no-binary libvirt-python --no-build-isolation --requirement {locks}/iecpod.lock",
        f"--no-deps --no-build-isolation --editable {machine}",
    ]
    assert pip_calls() == installed
    assert pip_calls() == []
    with (locks / "iecpod.lock").open("a") as lock:
        lock.write("# another one\n")
    assert pip_calls() == installed


#: A Debian 12 as far as bootstrap.sh sees it, with sources of its own and no service that could be started.
DEBIAN_12 = """
for directory in /etc/apt/sources.list.d /usr/sbin; do mount -t tmpfs tmpfs "$directory"; done
mount --bind "$1/os-release" /etc/os-release
shift
"$@"
status=$?
cat /etc/apt/sources.list.d/* 2> /dev/null
exit $status
"""
SOURCE = """Types: deb
URIs: http://mirror.lab/debian/
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def has_apt(machine: Path, *, installed: str, answering: bool) -> Path:
    """A machine that lacks QEMU but for the package `installed`; returns where calls of apt-get are noted."""
    calls = machine / "apt-calls"
    scripts = {
        "dpkg-query": f"""
shift 2
for package; do
    case $package in
        {installed}) printf 'ii %s ' "$package" ;;
        qemu-system-*) ;;
        *) printf 'ii %s ' "$package" ;;
    esac
done""",
        "apt-get": f"""
case "$*" in
    indextargets*backports*) exit ;;
    indextargets*) echo http://mirror.lab/debian/; exit ;;
    *SourceList=*) exit {0 if answering else 100} ;;
esac
printf '%s\\n' "$*" >> {calls}""",
        "apt-cache": """
test ! -e /etc/apt/sources.list.d/iecpod-backports.sources ||
    echo "qemu-system-x86 | 10 | http://mirror.lab/debian bookworm-backports/main amd64 Packages" """,
    }
    for name, script in scripts.items():
        (machine / "bin" / name).write_text(f"#!/bin/sh\n{script.strip()}\n")
        (machine / "bin" / name).chmod(0o755)
    (machine / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    return calls


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, and install packages")
@pytest.mark.parametrize(
    ("installed", "answering", "wanted", "source"),
    [
        (
            "nothing",
            True,
            "qemu-system-x86/bookworm-backports qemu-system-arm/bookworm-backports "
            "qemu-system-common/bookworm-backports qemu-system-data/bookworm-backports seabios/bookworm-backports",
            SOURCE,
        ),
        ("nothing", False, "qemu-system-x86 qemu-system-arm", ""),
        ("qemu-system-common", True, "qemu-system-x86 qemu-system-arm", ""),
    ],
    ids=["there is none", "backports do not answer", "one is installed"],
)
def test_a_debian_12_without_qemu_gets_that_of_its_backports(
    machine: Path, installed: str, answering: bool, wanted: str, source: str
) -> None:
    calls = has_apt(machine, installed=installed, answering=answering)
    makes_environments(machine)
    within = ("unshare", "--mount", "sh", "-uc", DEBIAN_12, "within", str(machine))
    done = run(machine, "true", within=within, IECPOD_PYTHON=str(machine / "bin" / "python"))
    assert (done.returncode, done.stdout) == (0, source), done.stderr
    assert calls.read_text().splitlines()[-1].partition(" install -- ")[2] == wanted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize(("known", "returncode"), [("libvirt-daemon-driver-*", 1), ("nothing", 0)])
def test_drivers_of_libvirt_that_are_packages_of_their_own_are_missing(
    machine: Path, known: str, returncode: int
) -> None:
    has_packages(machine, all_of_them=True)
    makes_environments(machine)
    apt_cache = machine / "bin" / "apt-cache"
    apt_cache.write_text(f"#!/bin/sh\ncase $2 in {known}) exit 0 ;; *) exit 100 ;; esac\n")
    apt_cache.chmod(0o755)
    # Where libvirt's drivers are, there is nothing; whoever is not root cannot install them.
    hidden = 'for drivers in /usr/lib/*/libvirt/connection-driver; do mount -t tmpfs tmpfs "$drivers"; done; exec "$@"'
    as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    within = ("unshare", "--mount", "sh", "-euc", hidden, "within", *(as_nobody if returncode else ()))
    done = run(machine, "true", within=within, IECPOD_PYTHON=str(machine / "bin" / "python"))
    assert done.returncode == returncode, done.stderr
    drivers = "can install them: libvirt-daemon-driver-network libvirt-daemon-driver-storage\n"
    assert (drivers in done.stderr) == bool(returncode)
