"""The command line: options in, exit codes out. The only place that reads the environment and ends the process."""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from iecpod import __version__
from iecpod.commands.request import DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR, PodRequest
from iecpod.composition import Composition
from iecpod.design.resources import VirtType
from iecpod.errors import DescriptorError, ExitCode, IecpodError, PreflightError
from iecpod.layout import find_layout
from iecpod.model import Arch, PodRef

_LOG = logging.getLogger("iecpod")
F = TypeVar("F", bound=Callable[..., Any])

_EXIT_CODES = """\b
Exit codes:
  0  done, or nothing to do        5  not ready in time
  1  a phase failed                6  plan --detailed-exitcode: changes pending
  2  wrong usage                   7  teardown left something behind
  3  a descriptor is not valid    70  a bug in iecpod (trace in the log)
  4  preflight failed            130  interrupted"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "IECPOD"}, epilog=_EXIT_CODES
)
@click.version_option(__version__)
def cli() -> None:
    """Builds virtual telco-edge labs from OPNFV POD descriptors.

    \b
    Example, on a machine of your own:
      iecpod deploy   -l local -p virtual1
      iecpod kubectl  -l local -p virtual1 get nodes
      iecpod teardown -l local -p virtual1
    """


def _compose() -> Composition:
    layout = find_layout(os.environ, package_dir=Path(__file__).parent, is_root=os.geteuid() == 0)
    return Composition(layout, environ=dict(os.environ), is_terminal=sys.stderr.isatty())


def _pod_options(function: F) -> F:
    """-l, -p, -b, -s, -c, --release and eyaml's keys: which POD, and what it is to be."""
    options = [
        click.option("-l", "--lab", required=True, help="Lab: the directory below labs/ of the base."),
        click.option("-p", "--pod", required=True, help="POD: <pod>.yaml and idf-<pod>.yaml in the lab's directory."),
        click.option("-b", "--base-uri", help="Path or URI that holds labs/. Default: the descriptors of iecpod."),
        click.option("-s", "--scenario", help="Scenario. Default: k8-calico-iec-noha; lab local: k8-bridge-iec-noha."),
        click.option("--release", help="Release, by name or file. Default: k8s-1.36; lab local: debian12."),
        click.option(
            "-c",
            "--connect",
            help="libvirt URI, or `embedded` for a libvirtd of the POD's own. "
            "Default: the nodes' remote_management.address; lab local: embedded.",
        ),
        click.option("--eyaml-private-key", metavar="FILE", help="hiera-eyaml's private key: decrypts ENC[PKCS7,...]."),
        click.option("--eyaml-public-key", metavar="FILE", help="hiera-eyaml's public key; both keys go together."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _design_options(function: F) -> F:
    """--virt-type, the CIDRs and --addressing: what the descriptors leave open."""
    options = [
        click.option(
            "--virt-type",
            type=click.Choice(["auto", "kvm", "qemu"]),
            default="auto",
            show_default=True,
            help="auto: KVM if it boots the image's kernel, else emulation (qemu).",
        ),
        click.option("--pod-cidr", default=DEFAULT_POD_CIDR, show_default=True, help="Addresses of pods."),
        click.option("--service-cidr", default=DEFAULT_SERVICE_CIDR, show_default=True, help="Addresses of services."),
        click.option(
            "--addressing",
            type=click.Choice(["fuel", "compact"]),
            help="compact: nodes in a row from the start of ip-range. Default: as deployed, or fuel.",
        ),
        click.option("--apt-mirror", default="", help="Debian mirror to build images from, instead of the release's."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _request(composition: Composition, options: dict[str, Any]) -> PodRequest:
    virt_type = options.get("virt_type", "auto")
    return PodRequest(
        ref=PodRef(options["lab"], options["pod"]),
        base_uri=options["base_uri"] or str(composition.layout.pdf_dir),
        scenario=options["scenario"],
        release=options["release"],
        connect=options["connect"],
        virt_type=None if virt_type == "auto" else VirtType(virt_type),
        pod_cidr=options.get("pod_cidr") or DEFAULT_POD_CIDR,
        service_cidr=options.get("service_cidr") or DEFAULT_SERVICE_CIDR,
        addressing=options.get("addressing"),
        eyaml_keys=(options["eyaml_private_key"], options["eyaml_public_key"]),
    )


@cli.command()
@_pod_options
@_design_options
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Write the report there, as JSON.")
@click.pass_obj
def deploy(composition: Composition, /, report_file: Path | None, **options: Any) -> None:
    """Creates the POD's machines and its Kubernetes cluster.

    Running it again finds what is in place and goes on from there, also after it was killed.
    """
    click.echo(composition.deploy(_request(composition, options), options["apt_mirror"], report_file).to_text())


@cli.command()
@_pod_options
@_design_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 6 when there are changes to make.")
@click.pass_obj
def plan(composition: Composition, /, detailed_exitcode: bool, **options: Any) -> None:
    """Shows what deploy would make: machines, addresses, networks, cluster."""
    text, pending = composition.plan(_request(composition, options), options["apt_mirror"])
    click.echo(text)
    if detailed_exitcode and pending:
        raise SystemExit(ExitCode.CHANGES_PENDING)


@cli.command()
@_pod_options
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def status(composition: Composition, /, output: str, **options: Any) -> None:
    """Shows the POD's machines and its cluster's nodes."""
    result = composition.status(_request(composition, options))
    click.echo(result.to_json() if output == "json" else result.to_text(), nl=output == "table")


@cli.command()
@_pod_options
@click.pass_obj
def teardown(composition: Composition, /, **options: Any) -> None:
    """Removes everything of the POD that iecpod made, and proves it. Caches stay."""
    removed = composition.teardown(_request(composition, options))
    for name in removed.names:
        click.echo(f"removed {name}")
    if not removed.names:
        click.echo("nothing to remove")


_PASS_THROUGH = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@cli.command(context_settings=_PASS_THROUGH)
@_pod_options
@click.argument("node", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(composition: Composition, /, node: str | None, command: tuple[str, ...], **options: Any) -> None:
    """Opens a shell on NODE (default: the first), or runs COMMAND there.

    \b
    Example: iecpod ssh -l local -p virtual1 iec02 -- ip -brief address
    """
    _become(composition.ssh_argv(_request(composition, options), node, _after_dashes(command), tty=_is_interactive()))


@cli.command(context_settings=_PASS_THROUGH)
@_pod_options
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def kubectl(composition: Composition, /, arguments: tuple[str, ...], **options: Any) -> None:
    """Runs the cluster's own kubectl, as its administrator; standard input goes through.

    \b
    Example: iecpod kubectl -l local -p virtual1 get nodes -o wide
    """
    _become(composition.kubectl_argv(_request(composition, options), arguments, tty=_is_interactive()))


@cli.command()
@_pod_options
@click.pass_obj
def kubeconfig(composition: Composition, /, **options: Any) -> None:
    """Prints the cluster's admin kubeconfig."""
    click.echo(composition.kubeconfig(_request(composition, options)), nl=False)


@cli.command()
@_pod_options
@click.argument("node", required=False)
@click.pass_obj
def console(composition: Composition, /, node: str | None, **options: Any) -> None:
    """Attaches to the serial console of NODE (default: the first); leave it with Ctrl+]."""
    _become(composition.console_argv(_request(composition, options), node))


@cli.group()
def bundle() -> None:
    """Offline bundles: all that a cluster needs without a network."""


@bundle.command()
@click.option("--release", required=True, help="Release, by name or file.")
@click.option("--arch", type=click.Choice([arch.value for arch in Arch]), default=None, help="Default: this machine's.")
@click.option("--apt-mirror", default="", help="Debian mirror to build from, instead of the release's.")
@click.pass_obj
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


def _end_by_signal(signum: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def _print_error(error: IecpodError, log_file: Path | None) -> None:
    if isinstance(error, (DescriptorError, PreflightError)):
        for problem in error.problems:
            click.echo(str(problem), err=True)
    click.echo(f"iecpod: error: {error.cause}", err=True)
    if error.remedy:
        click.echo(f"iecpod: remedy: {error.remedy}", err=True)
    if log_file is not None:
        click.echo(f"iecpod: log: {log_file}", err=True)


def _start_log(state_dir: Path) -> Path | None:
    """A log for traces and phase lines; where it cannot be written, runs go on without one."""
    path = state_dir / "log" / "iecpod.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=5_000_000, backupCount=3)
        path.chmod(0o600)
    except OSError:
        return None
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code; every error ends here."""
    signal.signal(signal.SIGTERM, _end_by_signal)
    log_file: Path | None = None
    try:
        composition = _compose()
        log_file = _start_log(composition.layout.state_dir)
        _LOG.info("iecpod %s: %s", __version__, " ".join(argv if argv is not None else sys.argv[1:]))
        status = cli.main(args=list(argv) if argv is not None else None, standalone_mode=False, obj=composition)
        return status if isinstance(status, int) else int(ExitCode.OK)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except IecpodError as error:
        _LOG.error("%s: %s", type(error).__name__, error.cause)
        _print_error(error, log_file)
        return int(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("iecpod: interrupted; run the same command again to go on", err=True)
        return int(ExitCode.INTERRUPTED)
    except SystemExit as end:
        return cast(int, end.code or 0)
    except BrokenPipeError:
        return int(ExitCode.FAILED)
    except Exception as bug:
        _LOG.exception("bug")
        click.echo(f"iecpod: bug: {type(bug).__name__}: {bug}", err=True)
        click.echo(f"iecpod: remedy: please report it with the log {log_file or '(none could be written)'}", err=True)
        return int(ExitCode.BUG)
