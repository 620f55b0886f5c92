"""Programs of this host that fetch and build: their output goes to a log, their failure becomes an `ImageError`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import BinaryIO, cast

from iecpod.adapters.command_trace import trace_command
from iecpod.adapters.host_programs import NOT_FOUND, call_program, follow_log
from iecpod.errors import CommandFailed, ImageError
from iecpod.images.confinement.confined_process import LimitReached, run_confined
from iecpod.images.confinement.program import Confinement
from iecpod.ports import CommandResult
from iecpod.printable import overwritten

_TAIL_LINES = 25
_LOOK_SECONDS = 3.0
_END_BYTES = 256 * 1024

#: A PID namespace whose init dies with this process, and everything in it with init: a killed build leaves nothing
#: running, and a private mount namespace leaves nothing mounted.
_CONTAINED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

#: What a confined program has apart besides: nothing of it is a way to other programs of this host.
_APART = ("--net", "--ipc", "--uts", "--cgroup")
_PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
_MOST_OUTPUT_BYTES = 64 * 1024 * 1024


def run_tool(
    argv: Sequence[str],
    *,
    purpose: str,
    log_path: Path,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    network: bool = False,
    watch: Callable[[bytes], None] | None = None,
    confined: Confinement | None = None,
) -> None:
    """Runs a program to its end, in namespaces that end with this process; `environment` is added to our own.

    One that is `confined` starts at the root that it is given, and with nothing but `environment`. It is stopped where
    it reaches one of its limits.

    Without `network` it has not even a loopback. `watch` is called every few seconds with what this program has printed
    since the last time; what it raises ends the program. Raises `ImageError` with the end of the log when the program
    is missing, is stopped or exits non-zero.
    """
    trace_command("host", argv)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log, _explain_missing(_CONTAINED[0], purpose):
        if confined is None:
            variables = [f"{name}={value}" for name, value in (environment or {}).items()]
            contained = [
                *_CONTAINED,
                *(() if network else ("--net",)),
                "--",
                "env",
                "LC_ALL=C.UTF-8",
                *variables,
                *argv,
            ]
            with subprocess.Popen(
                contained, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory
            ) as process:
                returncode = _wait(process, log_path, log.tell(), watch)
        else:
            inside = confined.command(argv, {**_PLAIN, **(environment or {})})
            try:
                returncode = run_confined([*_CONTAINED, *_APART, "--", *inside], confined, log, _MOST_OUTPUT_BYTES)
            except LimitReached as reached:
                raise ImageError(
                    f"{purpose}: `{Path(argv[0]).name}` was stopped: {reached}\n{log_tail(log_path)}",
                    f"see {log_path} for what it was doing; do not use packages or a bundle that you do not trust",
                ) from reached
    if returncode:
        raise ImageError(
            f"{purpose}: `{Path(argv[0]).name}` exited with {returncode}\n{log_tail(log_path)}",
            _remedy(returncode, log_path),
        )


@contextmanager
def read_confined(argv: Sequence[str], *, purpose: str, log_path: Path, confined: Confinement) -> Iterator[BinaryIO]:
    """What a confined program prints, as it comes; what it says of errors goes to the log.

    Raises `ImageError` with the end of the log when it is missing or exits non-zero, also where what it printed so far
    has led to another error. Where its output is not read to the end, it is ended.
    """
    trace_command("host", argv)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [*_CONTAINED, *_APART, "--", *confined.command(argv, _PLAIN)]
    with (
        log_path.open("ab") as log,
        _explain_missing(_CONTAINED[0], purpose),
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        ) as process,
    ):
        assert process.stdout is not None, "it is a pipe"
        timer = Timer(confined.limits.seconds, process.kill)
        timer.start()
        try:
            yield cast(BinaryIO, process.stdout)
        except Exception:
            failed = process.stdout.read(1) == b"" and process.wait() != 0
            process.kill()
            if not failed:
                raise
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        returncode = process.wait()
    if returncode:
        raise ImageError(
            f"{purpose}: `{Path(argv[0]).name}` exited with {returncode}\n{log_tail(log_path)}",
            _remedy(returncode, log_path),
        )


def read_tool(argv: Sequence[str], *, purpose: str) -> str:
    """What a short program prints. Raises `ImageError` with its stderr when it is missing or exits non-zero."""
    done = call_tool(argv, purpose=purpose)
    if done.returncode:
        raise ImageError(f"{purpose}: `{argv[0]}` exited with {done.returncode}\n{done.stderr.rstrip()}")
    return done.stdout


def call_tool(
    argv: Sequence[str],
    *,
    purpose: str,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 60.0,
    new_session: bool = False,
) -> CommandResult:
    """How a short program ended; `environment` is added to our own.

    Raises `ImageError` where it is missing or hangs.
    """
    try:
        return call_program(
            argv,
            stdin=stdin,
            environment={**os.environ, **(environment or {})},
            timeout_seconds=timeout_seconds,
            new_session=new_session,
        )
    except CommandFailed as error:
        if error.returncode == NOT_FOUND:
            raise _not_installed(argv[0], purpose) from error
        raise ImageError(f"{purpose}: {argv[0]}: {error.tail}", "see what it waits for, and run again") from error


def log_tail(log_path: Path) -> str:
    lines = overwritten(_end_of(log_path)).rstrip("\n").split("\n")
    return "\n".join(lines[-_TAIL_LINES:])


def _end_of(log_path: Path) -> str:
    """What programs print may be much: scripts of packages print what they like."""
    with log_path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _END_BYTES))
        return file.read(_END_BYTES).decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], log_path: Path, start: int, watch: Callable[[bytes], None] | None) -> int:
    try:
        if watch is not None:
            with log_path.open("rb") as written:
                written.seek(start)
                follow_log(process, written, watch, every_seconds=_LOOK_SECONDS)
        return process.wait()
    except BaseException:
        process.kill()
        raise


def _remedy(returncode: int, log_path: Path) -> str:
    text = _end_of(log_path)
    if "No space left on device" in text:
        return "free some disk space on the file system of the cache and run again"
    if returncode == 127 or "Operation not permitted" in text:
        return f"building images needs root and the programs that bootstrap.sh installs; the whole log is {log_path}"
    return f"the whole log is {log_path}; what was finished before is kept: run again once the cause is gone"


@contextmanager
def _explain_missing(program: str, purpose: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _not_installed(program, purpose) from error


def _not_installed(program: str, purpose: str) -> ImageError:
    return ImageError(f"{purpose}: the program {program} is not installed", "bootstrap.sh installs what iecpod needs")
