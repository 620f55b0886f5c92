"""`iecpod image`: the verbs about base images and the cache that they are kept in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from iecpod.cli.after_run import duration
from iecpod.cli.completion import complete_release
from iecpod.cli.options.mirrors import apt_mirror_option
from iecpod.cli.options.pod_options import table_option
from iecpod.cli.options.shared import Invocation, storage_dir_option
from iecpod.cli.output import echo, echo_json
from iecpod.model import Arch

if TYPE_CHECKING:
    from iecpod.wiring.image_cache import ImageCache


@click.group()
def image() -> None:
    """Base images that the disks of nodes rest on, and what they are made of: the cache.

    \b
      iecpod image ls
      iecpod image bake --release debian12
      iecpod image rm --unused --older-than 7d
    """


def _complete_name(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from iecpod.cache.inventory import find_items

    layout = context.find_root().obj.layout.stored_in(context.params.get("storage_dir"))
    return [item.name for item in find_items(layout.cache_dir) if item.name.startswith(incomplete)]


def _keeping(invocation: Invocation, storage_dir: Path | None) -> ImageCache:
    from iecpod.wiring.image_cache import ImageCache

    return ImageCache(invocation.stored_layout(storage_dir))


@image.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@storage_dir_option
@click.pass_obj
def ls(invocation: Invocation, /, output: str, storage_dir: Path | None) -> None:
    """Lists what the cache holds: how large it is, when it was made and last used, and who needs it.

    An image is needed by PODs of this host with disks that rest on it, wherever their state is kept, by domains of
    others, and by runs that are at work. `bundles`, `kubernetes`, `layer` and `rootfs` are what images are made of:
    without them, making another image takes longer.
    """
    from iecpod.commands.images import items_json, items_text

    items = _keeping(invocation, storage_dir).items()
    if output == "json":
        echo_json(items_json(items))
    else:
        echo(items_text(items, now=time.time()))


@image.command()
@click.option("--release", required=True, help="Release, by name or file.", shell_complete=complete_release)
@click.option("--arch", type=click.Choice([arch.value for arch in Arch]), default=None, help="Default: this machine's.")
@table_option("base_os")
@apt_mirror_option("Debian mirror to build from, instead of the release's.")
@click.option("--tests", is_flag=True, help="Also compile what `iecpod conformance` runs on this host.")
@storage_dir_option
@click.pass_obj
def bake(
    invocation: Invocation,
    /,
    release: str,
    arch: str | None,
    base_os: str | None,
    apt_mirror: str,
    tests: bool,
    storage_dir: Path | None,
) -> None:
    """Makes the image of a release now, so that the next deploy finds it, and prints where it is.

    With the release's bundle in it, where it has one; others are fetched. What is there already stays as it is.
    """
    from iecpod.wiring.image_building import SoftwareMaking
    from iecpod.wiring.session import Session

    layout = invocation.stored_layout(storage_dir)
    session = Session(layout, environ=invocation.environ, is_terminal=invocation.is_terminal)
    making = SoftwareMaking(session)
    if tests:
        making.compile_tests(release)
    echo(making.bake_image(release, Arch(arch) if arch else None, base_os, apt_mirror))


@image.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete_name)
@click.option("--unused", is_flag=True, help="Instead of NAMEs: all images that are not in use.")
@click.option(
    "--older-than",
    metavar="TIME",
    callback=duration,
    help="With --unused: only what no run has used for longer: a number with the unit s, m, h, d or w, such as 7d.",
)
@click.option("--parts", is_flag=True, help="With --unused: also what images are made of.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@storage_dir_option
@click.pass_obj
def rm(
    invocation: Invocation,
    /,
    names: tuple[str, ...],
    unused: bool,
    older_than: int | None,
    parts: bool,
    dry_run: bool,
    storage_dir: Path | None,
) -> None:
    """Removes what is not in use from the cache: NAMEs of `image ls`, digests or keys, or how one begins.

    What a POD's disks rest on is refused, and so is what a run at work has asked for; what cannot be looked at counts
    as needed. Of several NAMEs, all go or none does. Exits with 7 if something could not be removed.

    \b
    Examples:
      iecpod image rm 137e51bf8e5c
      iecpod image rm --unused --older-than 7d --dry-run
    """
    if bool(names) == unused:
        raise click.UsageError("give either NAMEs or --unused")
    if names and (older_than is not None or parts):
        raise click.UsageError("--older-than and --parts choose among what is unused: they go with --unused")
    keeping = _keeping(invocation, storage_dir)
    if names:
        gathered = keeping.remove(names, dry_run=dry_run)
    else:
        limit_seconds = float("-inf") if older_than is None else older_than
        gathered = keeping.remove_unused(parts=parts, older_than_seconds=limit_seconds, dry_run=dry_run)
    echo(gathered.to_text())
    gathered.check()


COMMANDS = (image,)
