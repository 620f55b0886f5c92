"""Entry point of the `iecpod` command and of `python -m iecpod`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys

from iecpod.cli import main as command_line
from iecpod.errors import ExitCode


def main() -> int:
    """Runs the command line of this process and returns its exit code.

    After a signal it ends the process at once: threads at nodes are daemons, and Python aborts where one of them holds
    the lock of an output stream while it shuts down.
    """
    code = command_line.main()
    if code == ExitCode.INTERRUPTED:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                stream.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
