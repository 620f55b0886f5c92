"""Entry point of the `iecpod` command and of `python -m iecpod`."""

from __future__ import annotations

import logging
import os
import sys

from iecpod.cli import main as command_line
from iecpod.cli.streams import give_up_failed_output
from iecpod.errors import ExitCode


def main() -> int:
    """Runs the command line of this process and returns its exit code.

    After a signal it ends the process at once: threads at nodes are daemons, and Python aborts where one of them holds
    the lock of an output stream while it shuts down.
    """
    code = command_line.main()
    give_up_failed_output()
    if code == ExitCode.INTERRUPTED:
        logging.shutdown()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
