"""A program of this host that runs for long, writes a log, and is asked to end before it is made to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import BinaryIO

from iecpod.adapters.command_trace import trace_command
from iecpod.adapters.host_programs import ENVIRONMENT, follow_log
from iecpod.errors import HostError
from iecpod.ports import LongProgram, ProgramEnd

_LOOK_SECONDS = 0.5

#: The program is interrupted when this process dies, however that is. It writes to a file, since a pipe that no process
#: reads would end it before it has cleaned up.
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "INT", "--")


def run_long_program(program: LongProgram, look: Callable[[bytes], None]) -> ProgramEnd:
    """`RunLongProgram`: `look` is called every half second.

    When its time is up, or at a signal, it gets a SIGINT; then, or at a second signal, it and what it has started are
    killed. It is in a session of its own, so a terminal's Ctrl+C does not reach it twice. Raises `HostError` where it
    cannot be started.
    """
    trace_command("host", program.argv)
    with (
        program.log_path.open("xb") as log,
        program.log_path.open("rb") as written,
        _started(program, log) as process,
        _killed_at_last(process),
    ):
        return _end_of(process, written, look, program)


def _started(program: LongProgram, log: BinaryIO) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [*_ENDS_WITH_US, *program.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=program.directory,
            env={**ENVIRONMENT, **program.environment},
            start_new_session=True,
        )
    except OSError as error:
        cause = f"{program.argv[0]} cannot be started: {error.strerror}"
        raise HostError(cause, "install it: ./bootstrap.sh") from error


def _end_of(
    process: subprocess.Popen[bytes], written: BinaryIO, look: Callable[[bytes], None], program: LongProgram
) -> ProgramEnd:
    end = ProgramEnd.TIMED_OUT
    try:
        if follow_log(process, written, look, every_seconds=_LOOK_SECONDS, seconds=program.seconds):
            return ProgramEnd.ENDED
    except KeyboardInterrupt:
        end = ProgramEnd.INTERRUPTED
    process.send_signal(signal.SIGINT)
    follow_log(process, written, look, every_seconds=_LOOK_SECONDS, seconds=program.grace_seconds)
    return end


@contextlib.contextmanager
def _killed_at_last(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
