"""The standard streams of this process: callers may have closed one, or led it to where nothing can be written."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD_OUTPUT = "standard output"
_NAMES = ("stdin", "stdout", "stderr")


class _StandardOutput(io.FileIO):
    """Its errors name it, as those of other files name the file."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


class _StandardError(io.FileIO):
    """A run does not end because its progress cannot be printed; log, report and exit code show it, too."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(bytes(data))


def prepare_streams() -> frozenset[str]:
    """Returns the names of those that are closed, which lead to /dev/null from here on.

    The next file that is opened would get the number of such a stream, and with it what other programs print.
    """
    closed = set()
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
            closed.add(name)
        stream = getattr(sys, name)
        if stream is None and name == "stdin":
            sys.stdin = os.fdopen(number, closefd=False)
        elif name != "stdin" and (stream is None or stream is getattr(sys, f"__{name}__")):
            setattr(sys, name, _named(number, stream))
    return frozenset(closed)


def _named(number: int, stream: io.TextIOWrapper | None) -> io.TextIOWrapper:
    """In the place of a stream that Python made itself; others, as tests have them, stay."""
    return io.TextIOWrapper(
        io.BufferedWriter((_StandardError if number == 2 else _StandardOutput)(number, "w", closefd=False)),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",  # not every locale has the characters that descriptors and messages have
        line_buffering=stream is None or stream.line_buffering or number == 2,
    )


def give_up_failed_output() -> None:
    """Drops what cannot be printed: Python would try again when it ends, complain, and change the exit status."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            sink = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(sink, 1)
            os.close(sink)
