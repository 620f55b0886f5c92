"""`iecpod checkpoint`: a whole POD saved, and there again in seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iecpod.cli.options.pod_request import make_request
from iecpod.cli.options.run_options import events_option, run_options, wait_lock_option
from iecpod.cli.options.shared import Invocation, pod_options, storage_dir_option
from iecpod.cli.output import echo, echo_entry, echo_json
from iecpod.cli.verb_context import pass_session

if TYPE_CHECKING:
    from iecpod.reports.job_files import RunOutputs
    from iecpod.wiring.checkpoints import CheckpointKeeping
    from iecpod.wiring.session import Session


@click.group()
def checkpoint() -> None:
    """Saves all machines of a POD at one instant, and restores them in seconds.

    \b
      iecpod checkpoint save    -l local -p virtual1
      iecpod teardown           -l local -p virtual1
      iecpod checkpoint restore -l local -p virtual1
      iecpod redeploy           -l local -p virtual1 --checkpoint
    """


def _name(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    from iecpod.checkpoints.manifest import check_name

    try:
        return None if name is None else check_name(name)
    except ValueError as error:
        raise click.BadParameter(
            f"{error}: letters, digits, `-`, `_` and `.`, at most 64, the first a letter or a digit"
        ) from error


@checkpoint.command()
@pod_options
@click.option("--name", callback=_name, help="A state of your own, which is restored by this name only.")
@events_option
@wait_lock_option
@pass_session
def save(session: Session, /, name: str | None, events: Path | None, **options: Any) -> None:
    """Saves memory and disks of all machines at one instant; the POD runs on.

    The checkpoint is in the cache, with the POD's keys, and no other user of the host can read it. Without --name it
    stands for what a deploy makes: `redeploy --checkpoint` restores it wherever descriptors and options are the same.
    """
    from iecpod.units import format_size
    from iecpod.wiring.checkpoints import PodCheckpoints

    saved = PodCheckpoints(session).save(make_request(session.layout, options), name or "", events)
    size = format_size(saved.size_bytes)
    echo(f"checkpoint {saved.checkpoint.id}: {size}, machines paused for {saved.paused_seconds:.1f} s")


@checkpoint.command()
@pod_options
@click.argument("name", required=False)
@click.option("--replace", is_flag=True, help="Remove the POD that stands first.")
@run_options
@pass_session
def restore(session: Session, /, name: str | None, replace: bool, outputs: RunOutputs, **options: Any) -> None:
    """Restores the POD as it was, with the options of its deploy; also after a teardown.

    NAME is that of a checkpoint or its id; the default is the latest without a name. A checkpoint that is damaged, or
    that is of other descriptors, is refused before anything is touched.
    """
    from iecpod.wiring.checkpoints import PodCheckpoints

    request = make_request(session.layout, options)
    echo(PodCheckpoints(session).restore(request, name, outputs, may_replace=replace).to_text())


_names = click.argument("names", metavar="[NAME]...", nargs=-1)


def _keeping(invocation: Invocation, storage_dir: Path | None) -> CheckpointKeeping:
    from iecpod.wiring.checkpoints import CheckpointKeeping

    return CheckpointKeeping(invocation.stored_layout(storage_dir))


_output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
)


@checkpoint.command()
@_output_option
@storage_dir_option
@click.pass_obj
def ls(invocation: Invocation, /, output: str, storage_dir: Path | None) -> None:
    """Lists the checkpoints of all PODs: what they are of, how large they are, and who needs their disks."""
    from iecpod.commands.checkpoint.listing import checkpoints_json, checkpoints_text

    shown = _keeping(invocation, storage_dir).shown()
    if output == "json":
        echo_json(checkpoints_json(shown))
    else:
        echo(checkpoints_text(shown, now=time.time()))


@checkpoint.command()
@click.argument("name")
@_output_option
@storage_dir_option
@click.pass_obj
def show(invocation: Invocation, /, name: str, output: str, storage_dir: Path | None) -> None:
    """Shows the machines of one checkpoint, and what it was made of."""
    from iecpod.commands.checkpoint.listing import checkpoint_text, checkpoints_json

    (shown,) = _keeping(invocation, storage_dir).shown([name])
    if output == "json":
        echo_json(checkpoints_json([shown]))
    else:
        echo(checkpoint_text(shown, now=time.time()))


@checkpoint.command()
@_names
@storage_dir_option
@click.pass_obj
def verify(invocation: Invocation, /, names: tuple[str, ...], storage_dir: Path | None) -> None:
    """Compares every file with its digest, of all checkpoints where no NAME is given. Exits with 4 if one differs."""

    def notify(text: str) -> None:
        echo_entry(f"iecpod: {text}")

    for checkpoint_id in _keeping(invocation, storage_dir).verify(names, notify):
        echo(f"checkpoint {checkpoint_id} is whole")


@checkpoint.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@storage_dir_option
@click.pass_obj
def rm(invocation: Invocation, /, names: tuple[str, ...], dry_run: bool, storage_dir: Path | None) -> None:
    """Removes checkpoints by name or id. Disks that a POD rests on stay until it is torn down."""
    gathered = _keeping(invocation, storage_dir).remove(names, dry_run=dry_run)
    echo(gathered.to_text())
    gathered.check()


COMMANDS = (checkpoint,)
