"""`iecpod bundle`: what a release takes, gathered where there is a network for where there is none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iecpod.cli.completion import complete_release
from iecpod.cli.options.mirrors import apt_mirror_option, make_supply, source_options
from iecpod.cli.options.pod_options import table_option
from iecpod.cli.options.shared import Invocation, bundle_trust_options, image_archive_option
from iecpod.cli.output import echo, echo_entry, echo_json
from iecpod.errors import ImageError
from iecpod.home import expanded_path
from iecpod.model import Arch

if TYPE_CHECKING:
    from iecpod.commands.bundles import BundleOrder

_BUNDLE = click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))


@click.group()
def bundle() -> None:
    """Offline bundles: all that a POD takes, for a place without a network.

    \b
    Where there is a network:  iecpod bundle build --release k8s-1.37 --output k8s.tar
    Where there is none:       iecpod deploy -l arm -p virtual2 --bundle k8s.tar
    """


@bundle.command()
@click.option("--release", required=True, help="Release, by name or file.", shell_complete=complete_release)
@click.option("--arch", type=click.Choice([arch.value for arch in Arch]), default=None, help="Default: this machine's.")
@table_option("base_os")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE.tar",
    help="Write a copy: a new directory, or with a name in .tar one archive. Default: it stays in the cache.",
)
@apt_mirror_option("Mirror of the distribution's archive to build from.")
@source_options
@image_archive_option("Images that go into the bundle besides")
@click.pass_obj
def build(
    invocation: Invocation,
    /,
    release: str,
    arch: str | None,
    base_os: str | None,
    output: Path | None,
    image_archives: tuple[Path, ...],
    **options: Any,
) -> None:
    """Gathers base image, packages, container images, manifests and Helm of a release, and prints where they are.

    Images are fetched by digest, packages from signed repositories, all that they depend on with them. What is in the
    cache is not fetched again.
    """
    from iecpod.commands.bundles import BundleOrder
    from iecpod.release.mirrors import Supply

    supply = make_supply(options) or Supply()
    order = BundleOrder(
        release, base_os, Arch(arch) if arch else Arch.of_this_machine(), supply, output, image_archives
    )
    echo(_build(invocation, order))


def _build(invocation: Invocation, order: BundleOrder) -> Path:
    from iecpod.wiring.image_building import SoftwareMaking
    from iecpod.wiring.session import Session

    layout = invocation.stored_layout()
    session = Session(layout, environ=invocation.environ, is_terminal=invocation.is_terminal)
    making = SoftwareMaking(session)
    return making.build_bundle(order)


@bundle.command()
@_BUNDLE
@bundle_trust_options
def verify(bundle: Path, bundle_digest: str | None, bundle_signers: Path | None) -> None:
    """Reads every file of BUNDLE, a directory or an archive, and names those that are not as its manifest says.

    With --bundle-signers it also says who has signed it.
    """
    from iecpod.commands.bundles import verify_bundle
    from iecpod.images.bundle.verification import BundleTrust

    signers = bundle_signers and expanded_path(bundle_signers, "--bundle-signers")
    signer, faults = verify_bundle(bundle, BundleTrust(digest=bundle_digest, signers=signers))
    if signer is not None:
        echo(f"signed by {signer}")
    for line in faults:
        echo_entry(line, err=False)
    if faults:
        raise ImageError(f"{bundle} is not whole: {len(faults)} of its files", "copy it again, or build it again")


@bundle.command()
@_BUNDLE
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="OpenSSH private key, or the public key (.pub) of one that ssh-agent holds.",
)
@click.pass_obj
def sign(invocation: Invocation, bundle: Path, key: Path) -> None:
    """Signs BUNDLE, and prints where the signature is: in the directory, or beside the archive.

    \b
    Who deploys it names those who may sign:
      iecpod deploy -l arm -p virtual2 --bundle k8s.tar --bundle-signers allowed_signers
    """
    from iecpod.commands.bundles import sign_bundle

    echo(str(sign_bundle(bundle, key, may_ask=invocation.is_terminal and sys.stdin.isatty())))


@bundle.command()
@_BUNDLE
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show(bundle: Path, output: str) -> None:
    """Shows what BUNDLE, a directory or an archive, is of and what is in it; nothing is verified."""
    from iecpod.commands.bundles import bundle_json, bundle_text

    if output == "json":
        echo_json(bundle_json(bundle))
    else:
        echo(bundle_text(bundle))


COMMANDS = (bundle,)
