"""A program of this host that runs for long, writes a log, and is asked to end before it is made to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from iecpod.adapters.programs import ENVIRONMENT
from iecpod.adapters.trace import trace_command
from iecpod.errors import HostError
from iecpod.ports import ProgramEnd

_LOOK_SECONDS = 0.5

#: The program is interrupted when this process dies, however that is. It writes to a file, since a pipe that nobody
#: reads would end it before it has cleaned up.
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "INT", "--")


def run_long_program(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log_path: Path,
    look: Callable[[bytes], None],
    seconds: float,
    grace_seconds: float,
) -> ProgramEnd:
    """Runs it to its end, and gives `look` what it has written since the last time, every half second.

    After `seconds`, or when a signal comes, it gets a SIGINT and `grace_seconds` to end; then, or at a second signal,
    it and what it has started are killed. It is in a session of its own, so a terminal's Ctrl+C does not reach it
    twice. Raises `HostError` where it cannot be started.
    """
    trace_command("host", argv)
    with log_path.open("xb") as log, log_path.open("rb") as written:
        try:
            process = subprocess.Popen(
                [*_ENDS_WITH_US, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**ENVIRONMENT, **environment},
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(f"{argv[0]} cannot be started: {error.strerror}", "install it: ./bootstrap.sh") from error
        with process, _killed_at_last(process):
            return _end_of(process, written, look, seconds, grace_seconds)


def _end_of(
    process: subprocess.Popen[bytes],
    written: BinaryIO,
    look: Callable[[bytes], None],
    seconds: float,
    grace_seconds: float,
) -> ProgramEnd:
    end = ProgramEnd.TIMED_OUT
    try:
        if _follow(process, written, look, seconds):
            return ProgramEnd.ENDED
    except KeyboardInterrupt:
        end = ProgramEnd.INTERRUPTED
    process.send_signal(signal.SIGINT)
    _follow(process, written, look, grace_seconds)
    return end


def _follow(process: subprocess.Popen[bytes], written: BinaryIO, look: Callable[[bytes], None], seconds: float) -> bool:
    """Whether it has ended within that time."""
    deadline = time.monotonic() + seconds
    while True:
        has_ended = _has_ended(process)
        look(written.read())
        if has_ended or time.monotonic() > deadline:
            return has_ended


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_SECONDS)
    return process.returncode is not None


@contextlib.contextmanager
def _killed_at_last(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
