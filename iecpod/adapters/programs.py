"""Programs of this host, run with a fixed search path and a clean environment."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from iecpod.adapters.trace import trace_command
from iecpod.errors import CommandFailed, HypervisorUnavailable

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Nothing of the caller's environment reaches a program: daemons outlive their starter, and a job runner such as
#: Jenkins ends all that carry its variables. No system bus either: libvirtd would tell the host's firewalld and
#: machined about bridges and guests that are not in their network namespace.
ENVIRONMENT = {"PATH": SEARCH_PATH, "LC_ALL": "C", "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}

_TAIL_CHARACTERS = 2000


def run_program(argv: Sequence[str], timeout_seconds: float = 60.0) -> str:
    """Its standard output. Raises `CommandFailed` with node `localhost`, also where it is missing or hangs."""
    trace_command("host", argv)
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=ENVIRONMENT,
            timeout=timeout_seconds,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed("localhost", argv, 127, f"{argv[0]}: not found", "install it: ./bootstrap.sh") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed("localhost", argv, 124, f"timed out after {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        raise CommandFailed("localhost", argv, done.returncode, (done.stderr or done.stdout)[-_TAIL_CHARACTERS:])
    return done.stdout


def check_programs(programs: Sequence[str]) -> None:
    """Raises `HypervisorUnavailable` naming every program that is missing."""
    missing = [program for program in programs if shutil.which(program, path=SEARCH_PATH) is None]
    if missing:
        raise HypervisorUnavailable(
            f"programs are missing on this host: {', '.join(missing)}",
            "install the packages that iecpod needs: ./bootstrap.sh",
        )
