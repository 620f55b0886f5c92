"""Options that commands share, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from iecpod.cli.completion import complete_lab, complete_pod, complete_release, complete_rule, complete_scenario
from iecpod.cli.supply import make_supply
from iecpod.commands.request import DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR, PodRequest
from iecpod.layout import Layout
from iecpod.model import PodRef

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command is given by its process: click's `obj`."""

    layout: Layout
    environ: Mapping[str, str]
    is_terminal: bool


def lab_option(*, required: bool) -> Callable[[F], F]:
    return click.option(
        "-l",
        "--lab",
        required=required,
        help="Lab: the directory below labs/ of the base.",
        shell_complete=complete_lab,
    )


def pod_option(*, required: bool) -> Callable[[F], F]:
    return click.option(
        "-p",
        "--pod",
        required=required,
        help="POD: <pod>.yaml and idf-<pod>.yaml in the lab's directory.",
        shell_complete=complete_pod,
    )


base_option = click.option("-b", "--base-uri", help="Path or URI that holds labs/. Default: the descriptors of iecpod.")
demote_option = click.option(
    "--demote",
    metavar="RULE",
    multiple=True,
    help="Makes errors of this rule warnings; may be given more than once. `iecpod rules` lists them.",
    shell_complete=complete_rule,
)


def addressing_option(default: str) -> Callable[[F], F]:
    return click.option(
        "--addressing",
        type=click.Choice(["fuel", "compact"]),
        help=f"compact: nodes in a row from the start of ip-range. Default: {default}.",
    )


def eyaml_options(function: F) -> F:
    """--eyaml-private-key and --eyaml-public-key."""
    options = [
        click.option("--eyaml-private-key", metavar="FILE", help="hiera-eyaml's private key: decrypts ENC[PKCS7,...]."),
        click.option("--eyaml-public-key", metavar="FILE", help="hiera-eyaml's public key; both keys go together."),
    ]
    return _with_options(function, options)


def pod_options(function: F) -> F:
    """-l, -p, -b, -s, -c, --release and eyaml's keys: which POD, and what it is to be."""
    options = [
        lab_option(required=True),
        pod_option(required=True),
        base_option,
        click.option(
            "-s",
            "--scenario",
            help="Scenario. Default: k8-calico-iec-noha; lab local: k8-bridge-iec-noha.",
            shell_complete=complete_scenario,
        ),
        click.option(
            "--release",
            help="Release, by name or file. Default: k8s-1.36; lab local: debian12.",
            shell_complete=complete_release,
        ),
        click.option(
            "-c",
            "--connect",
            help="libvirt URI, or `embedded` for a libvirtd of the POD's own. "
            "Default: the nodes' remote_management.address; lab local: embedded.",
        ),
        eyaml_options,
    ]
    return _with_options(function, options)


base_os_option = click.option(
    "-o", "--os", "base_os", metavar="OS", help="Base image, of those that the release has: `iecpod releases list`."
)


def design_options(function: F) -> F:
    """--virt-type, the CIDRs, --addressing and --demote: what the descriptors leave open."""
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
        addressing_option("as deployed, or fuel"),
        click.option("--apt-mirror", default="", help="Mirror of the distribution's archive, for nodes and images."),
        demote_option,
    ]
    return _with_options(function, options)


def _with_options(function: F, options: Sequence[Callable[[F], F]]) -> F:
    """In the order in which help shows them."""
    for option in reversed(options):
        function = option(function)
    return function


def make_request(layout: Layout, options: dict[str, Any]) -> PodRequest:
    from iecpod.design.resources import VirtType  # its many classes take a tenth of the start-up of `validate`

    virt_type = options.get("virt_type", "auto")
    return PodRequest(
        ref=PodRef(options["lab"], options["pod"]),
        base_uri=options["base_uri"] or str(layout.pdf_dir),
        scenario=options["scenario"],
        release=options["release"],
        connect=options["connect"],
        virt_type=None if virt_type == "auto" else VirtType(virt_type),
        pod_cidr=options.get("pod_cidr") or DEFAULT_POD_CIDR,
        service_cidr=options.get("service_cidr") or DEFAULT_SERVICE_CIDR,
        addressing=options.get("addressing"),
        eyaml_keys=(options.get("eyaml_private_key"), options.get("eyaml_public_key")),
        demoted=_demoted(options.get("demote")),
        base_os=options.get("base_os"),
        supply=make_supply(options),
    )


def _demoted(names: tuple[str, ...] | None) -> frozenset[str]:
    """Verbs without the option are those of a POD that lives: what its deploy was let through is not refused now."""
    from iecpod.commands.rules import demotable_rules, select_demoted

    return demotable_rules() if names is None else select_demoted(names)
