"""The verbs of what comes after a run, and the option that collects the logs of one."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from iecpod.cli.options.pod_options import table_option
from iecpod.cli.options.pod_request import make_request
from iecpod.cli.options.shared import Invocation, pod_options
from iecpod.cli.output import echo, echo_entry
from iecpod.errors import DescriptorError, IecpodError, PreflightError
from iecpod.units import parse_duration_seconds, parse_size_bytes

if TYPE_CHECKING:
    from iecpod.hypervisor_uri import HypervisorUri
    from iecpod.layout import Layout
    from iecpod.wiring.after_run import AfterRun
    from iecpod.wiring.pods import Pods

F = TypeVar("F", bound=Callable[..., Any])

_LOG = logging.getLogger("iecpod")


def _after_run(invocation: Invocation, layout: Layout) -> AfterRun:
    from iecpod.wiring.after_run import AfterRun

    return AfterRun(layout, environ=invocation.environ, is_terminal=invocation.is_terminal)


@click.command()
@pod_options
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def logs(invocation: Invocation, /, file: Path | None, **options: Any) -> None:
    """Collects everything that shows what happened to the POD into FILE, a tar.gz, and prints its name.

    Consoles, libvirt's and iecpod's logs, and from each node that answers cloud-init's logs, journals, logs of
    containers and, from the first, the cluster's objects and events. MANIFEST in it lists what could not be read, and
    why. Secrets are cut out. Default for FILE: LAB-POD-TIME.tar.gz in the working directory.
    """
    layout = invocation.stored_layout(options["storage_dir"])
    echo(_after_run(invocation, layout).logs(make_request(layout, options), file))


def duration(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """Callback of an option that takes a time such as 2d; seconds, None where it was not given."""
    try:
        return None if text is None else parse_duration_seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


class Size(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.4 on
    """A size such as `20G`, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_size_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--older-than",
    required=True,
    metavar="TIME",
    callback=duration,
    help="Only what was made longer ago: a number with the unit s, m, h, d or w, such as 2d.",
)
@table_option("uri", "Only PODs of this libvirt URI, also those not deployed from here, or `embedded`.")
@click.option(
    "--max-size",
    type=Size(),
    metavar="SIZE",
    help="Also the checkpoints that were used longest ago, until the others take no more than that, such as 20G.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="PODs too whose deploy went well, or was not run from here, and checkpoints with a name.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.pass_obj
def gc(
    invocation: Invocation,
    /,
    older_than: int,
    connect: HypervisorUri | None,
    max_size: int | None,
    everything: bool,
    dry_run: bool,
) -> None:
    """Removes what aborted runs left: PODs, embedded hypervisors without a POD, half-built images; and checkpoints.

    A POD stays where its last deploy went well, where a run is at work on it, or where anything of it is younger than
    the limit. A checkpoint goes when nothing has used it for that long, one with a name only with --all. Only what
    carries iecpod's metadata, name and UUID is ever touched. Exits with 7 if something could not be removed.

    \b
    Example: iecpod gc --older-than 2d --dry-run
    """
    gathered = _after_run(invocation, invocation.stored_layout()).gc(
        older_than_seconds=older_than,
        connect=connect,
        everything=everything,
        dry_run=dry_run,
        max_size_bytes=max_size,
    )
    echo(gathered.to_text())
    gathered.check()


def log_file_option(function: F) -> F:
    """-L, for verbs about a POD: they run, and then the POD's logs are collected, however they ended."""

    @functools.wraps(function)
    def run(pods: Pods, /, *arguments: Any, log_file: Path | None, **options: Any) -> Any:
        if log_file is None:
            return function(pods, *arguments, **options)
        with _logs_afterwards(log_file, pods.layout, options):
            return function(pods, *arguments, **options)

    option = click.option(
        "-L",
        "--log-file",
        type=click.Path(path_type=Path),
        metavar="FILE.tar.gz",
        help="Collect the POD's logs there at the end, as `iecpod logs` does; after a failure, too.",
    )
    return cast(F, option(run))


@contextmanager
def _logs_afterwards(log_file: Path, layout: Layout, options: dict[str, Any]) -> Iterator[None]:
    """Errors of the block pass as they are; that logs cannot be collected is a warning."""
    from iecpod.adapters.log_archive import check_writable

    check_writable(log_file)
    invocation: Invocation = click.get_current_context().obj
    request = make_request(layout, options)
    outcome, nodes_left_out = "The run ended well.", ""
    try:
        yield
    except KeyboardInterrupt:
        outcome = "The run was interrupted."
        nodes_left_out = "the run was interrupted, and nodes take their time: `iecpod logs` asks them, too"
        raise
    except BaseException as error:
        outcome = f"The run failed: {_described(error)}"
        raise
    finally:
        try:
            _after_run(invocation, layout).logs(request, log_file, outcome=outcome, nodes_left_out=nodes_left_out)
            echo_entry(f"iecpod: logs: {log_file}")
        except Exception as error:
            _LOG.exception("logs could not be collected")
            echo_entry(f"iecpod: warning: the logs could not be collected: {error}")


def _described(error: BaseException) -> str:
    problems = error.problems if isinstance(error, (DescriptorError, PreflightError)) else ()
    return "\n".join([error.cause if isinstance(error, IecpodError) else repr(error), *map(str, problems)])


COMMANDS = (logs, gc)
