"""The verbs about a POD: each turns options into a request, and hands it to `wiring`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iecpod.cli.after_run import log_file_option
from iecpod.cli.options.fuel import FuelVerb, fuel_meaning, fuel_options
from iecpod.cli.options.login import Address, login_options
from iecpod.cli.options.pod_options import table_option
from iecpod.cli.options.pod_request import make_request
from iecpod.cli.options.run_options import events_option, run_options, wait_lock_option
from iecpod.cli.options.shared import (
    Name,
    design_options,
    pod_options,
    storage_dir_option,
)
from iecpod.cli.output import echo, echo_document, echo_entry, echo_json
from iecpod.cli.verb_context import pass_access, pass_pods
from iecpod.errors import ExitCode, UsageError
from iecpod.options.choices import ProviderName
from iecpod.pods.request import BOOTSTRAP_LAB

if TYPE_CHECKING:
    from iecpod.pods.request import PodRequest
    from iecpod.provider import Removed
    from iecpod.reports.job_files import RunOutputs
    from iecpod.reports.run_report import Report
    from iecpod.wiring.access import Access
    from iecpod.wiring.pods import Pods


#: What `export` prints, and the name of the file.
EXPORTED = {"env": "env", "hosts": "hosts", "ssh-config": "ssh_config", "inventory": "inventory.yaml"}


@click.command()
@pod_options
@table_option("provider")
@login_options
@design_options
@fuel_options
@run_options
@click.option("--prune", is_flag=True, help="Drain and remove nodes that are no longer in the PDF.")
@pass_pods
@log_file_option
def deploy(pods: Pods, /, outputs: RunOutputs, **options: Any) -> None:
    """Creates the POD's machines and its Kubernetes cluster.

    Running it again finds what is in place and resumes from there, also after it was killed. It takes the options of
    Fuel's ci/deploy.sh.
    """
    _build(pods, pods.deploy, outputs, options)


@click.command()
@pod_options
@table_option("provider")
@login_options
@design_options
@fuel_options
@run_options
@click.option("--changed", is_flag=True, help="Only workers that differ from the descriptors and options.")
@click.option(
    "--checkpoint", is_flag=True, help="Restore the checkpoint that fits; where none does, deploy and save one."
)
@pass_pods
@log_file_option
def redeploy(pods: Pods, /, outputs: RunOutputs, changed: bool, checkpoint: bool, **options: Any) -> None:
    """Tears the POD down and deploys it again, in one run; options that are left out are as deployed.

    What a deploy would refuse is refused while the old POD still stands. With --changed, workers that are as they
    should be stay, and the cluster with them; a change of the first node, of a network or of the cluster itself still
    takes the whole POD. With --checkpoint, a POD that was saved is restored in seconds (`iecpod checkpoint`).
    """
    if options["no_create"]:
        raise UsageError("-f takes machines as they are, and redeploy recreates them", "leave out -f, or use deploy")
    if changed and checkpoint:
        raise UsageError("--changed keeps machines, and --checkpoint restores all of them", "give one of the two")
    redeploy = functools.partial(pods.redeploy, only_changed=changed)
    _build(pods, pods.redeploy_with_checkpoint if checkpoint else redeploy, outputs, options)


def _build(
    pods: Pods,
    build: Callable[[PodRequest, RunOutputs], Report],
    outputs: RunOutputs,
    options: dict[str, Any],
) -> None:
    """What a line with Fuel's options asks for: `build`, or another verb."""
    fuel = fuel_meaning(options)
    for warning in fuel.warnings:
        echo_entry(f"iecpod: warning: {warning}")
    request = make_request(pods.layout, {**options, "until": fuel.until, "may_create": fuel.may_create})
    if fuel.verb is FuelVerb.TEARDOWN:
        _print_removed(pods.teardown(request, outputs.events))
    elif fuel.verb is FuelVerb.PLAN:
        pods.plan(request, echo)
    else:
        echo(build(request, outputs).to_text())


@click.command()
@click.argument("addresses", metavar="CONTROL_PLANE [WORKER]...", nargs=-1, required=True, type=Address())
@click.option("--name", "pod", type=Name("POD"), help="Name of the POD. Default: the first address, with '-' for '.'.")
@table_option("scenario")
@table_option("release")
@storage_dir_option
@login_options
@design_options
@run_options
@click.option("--prune", is_flag=True, help="Drain machines that are left out, and put them back as they were.")
@pass_pods
def bootstrap(pods: Pods, /, addresses: tuple[IPv4Address, ...], outputs: RunOutputs, **options: Any) -> None:
    """Makes a Kubernetes cluster of machines that have their operating system already.

    Machines are given by their addresses, the control plane first. What they are is found out and written down as the
    descriptors of POD nodes/NAME, which every other verb takes. With more machines than before, the new ones join.
    teardown puts machines back as they were.

    \b
    Example: iecpod bootstrap 10.169.36.152 10.169.40.106 --user iec --ask-password
    """
    if len(set(addresses)) != len(addresses):
        raise UsageError("an address is given twice", "give each machine once")
    if not options["user"]:
        raise UsageError("no login user is given", "give the user of the machines with --user")
    name = options["pod"] or str(addresses[0]).replace(".", "-")
    given = {**options, "lab": BOOTSTRAP_LAB, "pod": name, "provider": ProviderName.EXISTING}
    echo(pods.bootstrap(make_request(pods.layout, given), addresses, outputs).to_text())
    echo(f"POD {BOOTSTRAP_LAB}/{name}: see `iecpod status -l {BOOTSTRAP_LAB} -p {name}`")


@click.command()
@pod_options
@table_option("provider")
@login_options
@design_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 6 when there are changes to make.")
@pass_pods
def plan(pods: Pods, /, detailed_exitcode: bool, **options: Any) -> None:
    """Shows what deploy would make: machines, addresses, networks, cluster."""
    pending = pods.plan(make_request(pods.layout, options), echo)
    if detailed_exitcode and pending:
        raise SystemExit(ExitCode.CHANGES_PENDING)


@click.command()
@pod_options
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 6 where something has drifted.")
@pass_access
def status(access: Access, /, output: str, detailed_exitcode: bool, **options: Any) -> None:
    """Shows the POD's machines and its cluster, and where they are not what they were deployed as."""
    result = access.status(make_request(access.layout, options))
    if output == "json":
        echo_json(result.to_json())
    else:
        echo(result.to_text())
    if detailed_exitcode and result.drift:
        raise SystemExit(ExitCode.CHANGES_PENDING)


@click.command()
@pod_options
@login_options
@events_option
@wait_lock_option
@pass_pods
def teardown(pods: Pods, /, events: Path | None, **options: Any) -> None:
    """Removes everything of the POD that iecpod made, and proves it. Caches stay."""
    _print_removed(pods.teardown(make_request(pods.layout, options), events))


_PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(context_settings=_PASS_THROUGH)
@pod_options
@click.argument("node", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_access
def ssh(access: Access, /, node: str | None, command: tuple[str, ...], **options: Any) -> None:
    """Opens a shell on NODE (default: the first), or runs COMMAND there.

    \b
    Example: iecpod ssh -l local -p virtual1 iec02 -- ip -brief address
    """
    _become(access.ssh_argv(make_request(access.layout, options), node, _after_dashes(command), tty=_is_interactive()))


@click.command(context_settings=_PASS_THROUGH)
@pod_options
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_access
def kubectl(access: Access, /, arguments: tuple[str, ...], **options: Any) -> None:
    """Runs the cluster's own kubectl, as its administrator; standard input goes through.

    \b
    Example: iecpod kubectl -l local -p virtual1 get nodes -o wide
    """
    _become(access.kubectl_argv(make_request(access.layout, options), arguments, tty=_is_interactive()))


@click.command()
@pod_options
@pass_access
def kubeconfig(access: Access, /, **options: Any) -> None:
    """Prints the cluster's admin kubeconfig."""
    echo_document(access.kubeconfig(make_request(access.layout, options)))


@click.command()
@pod_options
@click.argument("what", type=click.Choice(list(EXPORTED)))
@pass_access
def export(access: Access, /, what: str, **options: Any) -> None:
    """Prints what other programs read of the POD; deploy leaves the same as files in the POD's directory.

    \b
    Example: eval "$(iecpod export env -l arm -p virtual2)"
    """
    echo_document(access.export(make_request(access.layout, options), EXPORTED[what]))


@click.command()
@pod_options
@click.argument("node", required=False)
@pass_access
def console(access: Access, /, node: str | None, **options: Any) -> None:
    """Attaches to the serial console of NODE (default: the first); leave it with Ctrl+]."""
    _become(access.console_argv(make_request(access.layout, options), node))


def _print_removed(removed: Removed) -> None:
    for name in removed.names:
        echo_entry(f"removed {name}", err=False)
    if not removed.names:
        echo("nothing to remove")
    removed.check()


def _after_dashes(command: Sequence[str]) -> tuple[str, ...]:
    return tuple(command[1:] if command and command[0] == "--" else command)


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _become(argv: Sequence[str]) -> None:
    """Lets another program take over this process, so that its exit status and terminal are the user's."""
    sys.stdout.flush()
    os.execvp(argv[0], list(argv))


COMMANDS = (deploy, redeploy, bootstrap, plan, status, teardown, ssh, kubectl, kubeconfig, export, console)
