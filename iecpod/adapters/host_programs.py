"""Programs of this host: the one way to call one and take what it prints, and to follow the log of one that runs.

Programs are started in three ways, since they end in three. One that answers (`call_program`) is killed when its time
is up. One that builds (`images/confinement/tool.py`) is in namespaces that end with this process. One that has to
clean up (`long_program.py`) is interrupted first. Exceptions: QEMU, whose first output is enough
(`providers/libvirt/kvm_probe.py`), kubectl, whose output is bounded by the kernel (`host_kubectl.py`), programs that
are confined, whose output and processes are limited while they run (`images/confinement/confined_process.py`), and
those of `providers/libvirt/checkpoint/`: zstd, which writes while libvirt reads, and the guard, which outlives this
process. `tests/unit/test_architecture.py` has the list.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from iecpod.adapters.command_trace import trace_command
from iecpod.errors import CommandFailed, HypervisorUnavailable
from iecpod.ports import CommandResult

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Nothing of the caller's environment reaches a program: daemons outlive their starter, and a job runner such as
#: Jenkins ends all that carry its variables. No system bus either: libvirtd would notify the host's firewalld and
#: machined about bridges and guests that are not in their network namespace.
ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C", "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}

#: Exit statuses of a shell and of timeout(1) for a program that did not run to its end.
TIMED_OUT, CANNOT_RUN, NOT_FOUND = 124, 126, 127

_TAIL_CHARACTERS = 2000
_CHUNK_BYTES = 1024 * 1024


def call_program(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] = ENVIRONMENT,
    directory: Path | None = None,
    timeout_seconds: float = 60.0,
    new_session: bool = False,
) -> CommandResult:
    """How it ended and what it printed; in a new session it has no terminal to ask on.

    Raises `CommandFailed` with node `localhost` and `TIMED_OUT`, `CANNOT_RUN` or `NOT_FOUND` where it did not end.
    """
    trace_command("host", argv)
    try:
        done = subprocess.run(
            argv,
            input=stdin or None,
            stdin=None if stdin else subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            cwd=directory,
            timeout=timeout_seconds,
            start_new_session=new_session,
            check=False,
        )
    except FileNotFoundError as error:
        cause = f"{argv[0]}: not found"
        raise CommandFailed("localhost", argv, NOT_FOUND, cause, "install it: ./bootstrap.sh") from error
    except OSError as error:
        raise CommandFailed("localhost", argv, CANNOT_RUN, f"{argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed("localhost", argv, TIMED_OUT, f"timed out after {timeout_seconds:g} s") from error
    return CommandResult(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def run_program(argv: Sequence[str], timeout_seconds: float = 60.0) -> str:
    """Its standard output. Raises `CommandFailed` with node `localhost`, also where it exits non-zero."""
    done = call_program(argv, timeout_seconds=timeout_seconds)
    if done.returncode != 0:
        raise CommandFailed("localhost", argv, done.returncode, (done.stderr or done.stdout)[-_TAIL_CHARACTERS:])
    return done.stdout


def follow_log(
    process: subprocess.Popen[bytes],
    log: BinaryIO,
    look: Callable[[bytes], None],
    *,
    every_seconds: float,
    seconds: float = math.inf,
) -> bool:
    """Whether the program has ended within that time; `look` is given what it has written since the last time.

    `log` is read from where it stands. `look` is also called where nothing was written, and for the last time when the
    program has ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        has_ended = _has_ended(process, every_seconds)
        while len(written := log.read(_CHUNK_BYTES)) == _CHUNK_BYTES:
            look(written)
        look(written)
        if has_ended or time.monotonic() > deadline:
            return has_ended


def _has_ended(process: subprocess.Popen[bytes], wait_seconds: float) -> bool:
    try:
        process.wait(wait_seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def check_programs(programs: Sequence[str]) -> None:
    """Raises `HypervisorUnavailable` naming every program that is missing."""
    missing = [program for program in programs if shutil.which(program, path=SEARCH_PATH) is None]
    if missing:
        raise HypervisorUnavailable(
            f"programs are missing on this host: {', '.join(missing)}",
            "install the packages that iecpod needs: ./bootstrap.sh",
        )
