"""`iecpod releases`: the verbs about release files, which need no hypervisor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from iecpod.cli.completion import complete_release
from iecpod.cli.options.shared import Invocation, storage_dir_option
from iecpod.cli.output import echo, echo_document, echo_entry, echo_json

if TYPE_CHECKING:
    from iecpod.commands.releases import ReleaseBook


@click.group()
def releases() -> None:
    """Releases: which software a POD gets, and from where.

    A release is a file. Copy one, change it and give it to --release:

    \b
      iecpod releases show k8s-1.37 > mine.yaml
      iecpod deploy -l arm -p virtual2 --release ./mine.yaml
    """


def _book(invocation: Invocation) -> ReleaseBook:
    from iecpod.commands.releases import ReleaseBook

    return ReleaseBook(invocation.layout.releases_dir, invocation.layout.schemas_dir)


@releases.command("list")
@click.option("--format", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def list_(invocation: Invocation, /, format: str) -> None:
    """Lists the releases that iecpod brings, and warns of those that upstream no longer supports."""
    from iecpod.wait import SystemClock

    book = _book(invocation)
    if format == "json":
        echo_json(book.list_json())
    else:
        echo(book.list_text())
    for problem in book.check_support(SystemClock().today()):
        echo_entry(str(problem))


@releases.command()
@click.argument("release", shell_complete=complete_release)
@click.option("-o", "--os", "base_os", metavar="OS", help="As it is on this operating system, one of those it names.")
@click.pass_obj
def show(invocation: Invocation, /, release: str, base_os: str | None) -> None:
    """Checks RELEASE, a name or a file, and prints it as YAML."""
    echo_document(_book(invocation).show(release, base_os))


@releases.command()
@click.argument("one", shell_complete=complete_release)
@click.argument("other", shell_complete=complete_release)
@click.pass_obj
def diff(invocation: Invocation, /, one: str, other: str) -> None:
    """Shows what differs between two releases, each a name or a file."""
    if text := _book(invocation).diff(one, other):
        echo(text)


@releases.command()
@click.argument("release", shell_complete=complete_release)
@click.option("--module", metavar="NAME", help="Only this module, such as kubernetes or etcd.")
@click.option("--version", metavar="VERSION", help="With --module: this version. Default: the newest patch version.")
@storage_dir_option
@click.pass_obj
def bump(
    invocation: Invocation, /, release: str, module: str | None, version: str | None, storage_dir: Path | None
) -> None:
    """Moves the Go modules of RELEASE to newer patch versions, in this checkout of iecpod.

    Asks the Go module proxy, and writes `go.mod` and `go.sum` of each module and the versions in the release file: a
    diff to be read before it is committed. Releases that fetch packages of the same Kubernetes move along. Values that
    no module has are listed with their places and where upstream says them. `iecpod image bake --release RELEASE`
    compiles the result.
    """
    from iecpod.wiring.image_building import SoftwareMaking
    from iecpod.wiring.session import Session

    layout = invocation.stored_layout(storage_dir)
    session = Session(layout, environ=invocation.environ, is_terminal=invocation.is_terminal)
    making = SoftwareMaking(session)
    bumps, reviews = making.bump_release(release, module, version)
    echo("\n".join(f"{moved.module}: {moved.old} -> {moved.new}" for moved in bumps) or "all modules are the newest")
    echo("to look at, since no module proxy knows it:")
    for review in reviews:
        echo(f"  {review}")


COMMANDS = (releases,)
