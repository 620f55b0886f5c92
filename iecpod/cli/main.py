"""The group of all commands and its error boundary. The only place that reads the environment and ends the process."""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import cast

import click

import iecpod
from iecpod.cli import after_run, bundles, checkpoint, checks, conformance, images, pods, releases
from iecpod.cli.failures import check_working_directory, closed_output, explain_os_failure
from iecpod.cli.options.shared import Invocation
from iecpod.cli.output import PrintableFormatter, echo, echo_entry, echo_usage_error
from iecpod.cli.streams import prepare_streams
from iecpod.descriptors.redaction import shown_command
from iecpod.errors import DescriptorError, ExitCode, IecpodError, Interrupted, PathRefused, PreflightError, Problem
from iecpod.files.trusted_paths import check_directory, make_directory
from iecpod.files.writer import PRIVATE, open_append
from iecpod.layout import find_layout

_LOG = logging.getLogger("iecpod")
_LOG.addHandler(logging.NullHandler())  # without a log file, Python would print what is reported anyway

#: Whatever that of the caller is: QEMU's user must be able to read images, and others may write nothing. What is for
#: its owner alone is made with a mode of its own.
UMASK = 0o022

_EXIT_CODES = """\b
Exit codes:
  0  done, or nothing to do        5  not ready in time
  1  a phase failed                6  plan --detailed-exitcode: changes pending
  2  wrong usage                   7  teardown or gc left something behind
  3  a descriptor is not valid    70  a bug in iecpod (trace in the log)
  4  preflight failed            130  interrupted"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "IECPOD"}, epilog=_EXIT_CODES
)
@click.version_option(iecpod.__version__)
def cli() -> None:
    """Builds virtual telco-edge labs from OPNFV POD descriptors.

    \b
    Example, on a machine of your own:
      iecpod deploy   -l local -p virtual1
      iecpod kubectl  -l local -p virtual1 get nodes
      iecpod teardown -l local -p virtual1
    """


_COMMANDS = (
    *(*pods.COMMANDS, *conformance.COMMANDS, *bundles.COMMANDS, *checkpoint.COMMANDS, *after_run.COMMANDS),
    *(*checks.COMMANDS, *releases.COMMANDS, *images.COMMANDS),
)
for command in _COMMANDS:
    cli.add_command(command)


def _invocation() -> Invocation:
    layout = find_layout(os.environ, package_dir=Path(iecpod.__file__).parent, is_root=os.geteuid() == 0)
    return Invocation(layout, environ=dict(os.environ), is_terminal=sys.stderr.isatty())


def _end_by_signal(signum: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def _print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        echo(problem, err=True)


def _print_error(error: IecpodError, log_file: Path | None) -> None:
    if isinstance(error, (DescriptorError, PreflightError)):
        _print_problems(error.problems)
    echo_entry(f"iecpod: error: {error.cause}")
    if error.evidence:
        echo_entry(error.evidence)
    if error.remedy:
        echo_entry(f"iecpod: remedy: {error.remedy}")
    if log_file is not None:
        echo_entry(f"iecpod: log: {log_file}")


def _end_by_error(error: IecpodError, log_file: Path | None) -> int:
    _LOG.error("%s: %s", type(error).__name__, "\n".join(filter(None, (error.cause, error.evidence))))
    _print_error(error, log_file)
    return int(error.exit_code)


def _print_interrupt(error: BaseException) -> None:
    """click turns a signal into its own `Abort`."""
    signalled = error.__cause__ if isinstance(error, click.Abort) else error
    if isinstance(signalled, Interrupted):
        text = f"{signalled.cause}: {signalled.remedy}"
    else:
        text = "interrupted; run the same command again to resume"
    _LOG.warning("%s", text)
    echo_entry(f"iecpod: {text}")


class _LogFile(logging.handlers.RotatingFileHandler):
    """For its owner only from the first byte on; arguments may hold what is no text, such as names of files."""

    def _open(self) -> TextIOWrapper:
        return cast(TextIOWrapper, open_append(Path(self.baseFilename), PRIVATE))


def _start_log(state_dir: Path) -> Path | None:
    """A log for traces and phase lines; where it cannot be written, runs continue without one.

    So they do where others may write: a verb that needs more than a log says so.
    """
    path = state_dir / "log" / "iecpod.log"
    try:
        check_directory(state_dir)
        make_directory(path.parent)
        handler = _LogFile(path, maxBytes=5_000_000, backupCount=3)
        path.chmod(PRIVATE)  # of an earlier version
    except (OSError, PathRefused):
        return None
    logging.raiseExceptions = False  # a full disk is reported once, by what cannot continue without it
    handler.setFormatter(PrintableFormatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code; every error ends here."""
    os.umask(UMASK)
    closed = prepare_streams()
    signal.signal(signal.SIGTERM, _end_by_signal)
    log_file: Path | None = None
    try:
        if "stdout" in closed:
            raise closed_output()
        check_working_directory()
        invocation = _invocation()
        log_file = _start_log(invocation.layout.state_dir)
        _LOG.info("iecpod %s: %s", iecpod.__version__, shown_command(sys.argv[1:] if argv is None else argv))
        status = cli.main(args=list(argv) if argv is not None else None, standalone_mode=False, obj=invocation)
        return status if isinstance(status, int) else int(ExitCode.OK)
    except click.ClickException as error:
        echo_usage_error(error)
        return int(ExitCode.USAGE)
    except IecpodError as error:
        return _end_by_error(error, log_file)
    except (KeyboardInterrupt, click.Abort) as error:
        _print_interrupt(error)
        return int(ExitCode.INTERRUPTED)
    except SystemExit as end:
        return cast(int, end.code or 0)
    except BrokenPipeError:
        return int(ExitCode.FAILED)
    except Exception as bug:
        explained = explain_os_failure(bug)
        if explained is not None:
            _LOG.info("the operating system refused", exc_info=bug)
            return _end_by_error(explained, log_file)
        _LOG.exception("bug")
        if log_file is None:
            echo_entry(traceback.format_exc())
        echo_entry(f"iecpod: bug: {type(bug).__name__}: {bug}")
        echo_entry(f"iecpod: remedy: please report it with the log {log_file or '(none could be written)'}")
        return int(ExitCode.BUG)
