"""The verbs of a POD that lives on a hypervisor; each joins options with `Composition`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iecpod.cli.completion import complete_release
from iecpod.cli.options import Invocation, base_os_option, design_options, make_request, pod_options
from iecpod.cli.supply import supply_options
from iecpod.errors import ExitCode
from iecpod.model import Arch

if TYPE_CHECKING:
    from iecpod.composition import Composition


def _pass_composition(function: Callable[..., None]) -> Callable[..., None]:
    """Makes the composition root when a command runs, so that the others need not load libvirt, SSH and templates."""

    @click.pass_obj
    @functools.wraps(function)
    def run(invocation: Invocation, /, *arguments: Any, **options: Any) -> None:
        from iecpod.composition import Composition

        composition = Composition(invocation.layout, environ=invocation.environ, is_terminal=invocation.is_terminal)
        function(composition, *arguments, **options)

    return run


@click.command()
@pod_options
@design_options
@base_os_option
@supply_options
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Write the report there, as JSON.")
@_pass_composition
def deploy(composition: Composition, /, report_file: Path | None, **options: Any) -> None:
    """Creates the POD's machines and its Kubernetes cluster.

    Running it again finds what is in place and goes on from there, also after it was killed.
    """
    report = composition.deploy(make_request(composition.layout, options), options["apt_mirror"], report_file)
    click.echo(report.to_text())


@click.command()
@pod_options
@design_options
@base_os_option
@supply_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 6 when there are changes to make.")
@_pass_composition
def plan(composition: Composition, /, detailed_exitcode: bool, **options: Any) -> None:
    """Shows what deploy would make: machines, addresses, networks, cluster."""
    text, pending = composition.plan(make_request(composition.layout, options), options["apt_mirror"])
    click.echo(text)
    if detailed_exitcode and pending:
        raise SystemExit(ExitCode.CHANGES_PENDING)


@click.command()
@pod_options
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@_pass_composition
def status(composition: Composition, /, output: str, **options: Any) -> None:
    """Shows the POD's machines and its cluster's nodes."""
    result = composition.status(make_request(composition.layout, options))
    click.echo(result.to_json() if output == "json" else result.to_text(), nl=output == "table")


@click.command()
@pod_options
@_pass_composition
def teardown(composition: Composition, /, **options: Any) -> None:
    """Removes everything of the POD that iecpod made, and proves it. Caches stay."""
    removed = composition.teardown(make_request(composition.layout, options))
    for name in removed.names:
        click.echo(f"removed {name}")
    if not removed.names:
        click.echo("nothing to remove")


_PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=_PASS_THROUGH)
@pod_options
@click.argument("node", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_pass_composition
def ssh(composition: Composition, /, node: str | None, command: tuple[str, ...], **options: Any) -> None:
    """Opens a shell on NODE (default: the first), or runs COMMAND there.

    \b
    Example: iecpod ssh -l local -p virtual1 iec02 -- ip -brief address
    """
    _become(
        composition.ssh_argv(
            make_request(composition.layout, options), node, _after_dashes(command), tty=_is_interactive()
        )
    )


@click.command(context_settings=_PASS_THROUGH)
@pod_options
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@_pass_composition
def kubectl(composition: Composition, /, arguments: tuple[str, ...], **options: Any) -> None:
    """Runs the cluster's own kubectl, as its administrator; standard input goes through.

    \b
    Example: iecpod kubectl -l local -p virtual1 get nodes -o wide
    """
    _become(composition.kubectl_argv(make_request(composition.layout, options), arguments, tty=_is_interactive()))


@click.command()
@pod_options
@_pass_composition
def kubeconfig(composition: Composition, /, **options: Any) -> None:
    """Prints the cluster's admin kubeconfig."""
    click.echo(composition.kubeconfig(make_request(composition.layout, options)), nl=False)


@click.command()
@pod_options
@click.argument("node", required=False)
@_pass_composition
def console(composition: Composition, /, node: str | None, **options: Any) -> None:
    """Attaches to the serial console of NODE (default: the first); leave it with Ctrl+]."""
    _become(composition.console_argv(make_request(composition.layout, options), node))


@click.group()
def bundle() -> None:
    """Offline bundles: all that a cluster needs without a network."""


@bundle.command()
@click.option("--release", required=True, help="Release, by name or file.", shell_complete=complete_release)
@click.option("--arch", type=click.Choice([arch.value for arch in Arch]), default=None, help="Default: this machine's.")
@click.option("--apt-mirror", default="", help="Debian mirror to build from, instead of the release's.")
@_pass_composition
def build(composition: Composition, /, release: str, arch: str | None, apt_mirror: str) -> None:
    """Builds the bundle of a release into the cache and prints where it is."""
    click.echo(composition.build_bundle(release, Arch(arch) if arch else None, apt_mirror))


def _after_dashes(command: Sequence[str]) -> tuple[str, ...]:
    return tuple(command[1:] if command and command[0] == "--" else command)


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _become(argv: Sequence[str]) -> None:
    """Lets another program take over this process, so that its exit status and terminal are the user's."""
    sys.stdout.flush()
    os.execvp(argv[0], list(argv))


COMMANDS = (deploy, plan, status, teardown, ssh, kubectl, kubeconfig, console, bundle)
