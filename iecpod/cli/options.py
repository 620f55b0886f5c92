"""Options that commands share, and what they become."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from iecpod.cli.completion import complete_lab, complete_pod, complete_release, complete_rule, complete_scenario
from iecpod.cli.supply import apt_mirror_option, make_supply, supply_options
from iecpod.commands.request import DEFAULT_POD_CIDR, DEFAULT_SERVICE_CIDR, PodRequest
from iecpod.errors import UsageError
from iecpod.hypervisor_uri import HypervisorUri, parse_connect
from iecpod.layout import Layout
from iecpod.model import PodRef, check_name
from iecpod.ssh_login import Login
from iecpod.trusted import check_layout
from iecpod.units import parse_size_bytes

_MIB = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: With less, no kernel of a cloud image gets as far as cloud-init.
_LEAST_MEMORY_MIB = 512

F = TypeVar("F", bound=Callable[..., Any])


class MemorySize(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.4 on
    """A size such as `2G` or `1536M`, in MiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            memory_mib = parse_size_bytes(value) // _MIB
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if memory_mib < _LEAST_MEMORY_MIB:
            self.fail(f"{value} is too little for a node; the least is {_LEAST_MEMORY_MIB}M", param, ctx)
        return memory_mib


class BundleDigest(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # as above
    """A SHA-256 in hex, with or without `sha256:` before it."""

    name = "sha256"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        digest = str(value).lower().removeprefix("sha256:")
        if not _SHA256.fullmatch(digest):
            self.fail(f"{value!r} is not a SHA-256: 64 hexadecimal digits", param, ctx)
        return digest


class Name(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """The name of a lab or a POD; `what` is `lab` or `POD`. An empty one, as of a job's variable, is none."""

    name = "text"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_name(self._what, value)
        except UsageError as error:
            self.fail(f"{error.cause}: {error.remedy}", param, ctx)


class _Hypervisor(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """One of the libvirt URIs that iecpod opens, or `embedded`."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> HypervisorUri:
        try:
            return parse_connect(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def connect_option(help_text: str) -> Callable[[F], F]:
    return click.option("-c", "--connect", type=_Hypervisor(), help=help_text)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command is given by its process: click's `obj`."""

    layout: Layout
    environ: Mapping[str, str]
    is_terminal: bool

    def stored_layout(self, directory: Path | None = None) -> Layout:
        """For every verb that reads or writes state, caches or locks; with the first two below `directory`.

        Raises `PathRefused` where others may change what is kept there.
        """
        layout = self.layout.stored_in(directory)
        check_layout(layout)
        return layout


def lab_option(*, required: bool) -> Callable[[F], F]:
    return click.option(
        "-l",
        "--lab",
        type=Name("lab"),
        required=required,
        help="Lab: the directory below labs/ of the base.",
        shell_complete=complete_lab,
    )


def pod_option(*, required: bool) -> Callable[[F], F]:
    return click.option(
        "-p",
        "--pod",
        type=Name("POD"),
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


class _StorageDir(click.Path):
    """An empty one, as of a job's variable, would be the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; name a directory, or leave the option out", param, ctx)
        return super().convert(value, param, ctx)


storage_dir_option = click.option(
    "-S",
    "--storage-dir",
    type=_StorageDir(path_type=Path, file_okay=False),
    help="Keep the POD's state and the caches below this directory; every verb of the POD then needs it.",
)


scenario_option = click.option(
    "-s",
    "--scenario",
    help="Scenario. Default: k8-calico-iec-noha; lab local: k8-bridge-iec-noha.",
    shell_complete=complete_scenario,
)
release_option = click.option(
    "--release",
    help="Release, by name or file. Default: k8s-1.37; lab local: k8s-1.37-go, or debian12 as a fallback.",
    shell_complete=complete_release,
)


def pod_options(function: F) -> F:
    """-l, -p, -b, -s, -c, -S, --release and eyaml's keys: which POD, what it is to be and where it is kept."""
    options = [
        lab_option(required=True),
        pod_option(required=True),
        base_option,
        scenario_option,
        release_option,
        connect_option(
            "qemu:///system or another libvirt URI of this machine, or `embedded` for a libvirtd of the POD's own. "
            "Default: the nodes' remote_management.address; lab local: embedded."
        ),
        storage_dir_option,
        eyaml_options,
    ]
    return _with_options(function, options)


base_os_option = click.option(
    "-o", "--os", "base_os", metavar="OS", help="Base image, of those that the release has: `iecpod releases list`."
)


def bundle_trust_options(function: F) -> F:
    """--bundle-digest and --bundle-signers: what a bundle must be before anything of it is used."""
    options = [
        click.option(
            "--bundle-digest",
            type=BundleDigest(),
            metavar="SHA256",
            help="Refuse a bundle of another digest; `bundle show` prints it where it was built.",
        ),
        click.option(
            "--bundle-signers",
            type=click.Path(path_type=Path),
            metavar="FILE",
            envvar="IECPOD_BUNDLE_SIGNERS",
            show_envvar=True,
            help="Refuse a bundle that none of these has signed: ssh-keygen's file of allowed signers.",
        ),
    ]
    return _with_options(function, options)


def image_archive_option(what: str) -> Callable[[F], F]:
    return click.option(
        "--image-archive",
        "image_archives",
        type=click.Path(path_type=Path),
        metavar="FILE",
        multiple=True,
        help=f"{what}: an archive of `docker save` or in OCI's form, also with gzip or zstd. May be given more than "
        "once.",
    )


def design_options(function: F) -> F:
    """--virt-type, the CIDRs, --addressing and --demote: what the descriptors leave open."""
    options = [
        click.option(
            "--virt-type",
            type=click.Choice(["auto", "kvm", "qemu"]),
            default="auto",
            show_default=True,
            help="auto: as deployed, or KVM if it boots the image's kernel, else emulation (qemu).",
        ),
        click.option("--pod-cidr", help=f"Addresses of pods. Default: as deployed, or {DEFAULT_POD_CIDR}."),
        click.option("--service-cidr", help=f"Addresses of services. Default: as deployed, or {DEFAULT_SERVICE_CIDR}."),
        click.option("--vcpus", type=click.IntRange(1, 512), help="Processors of every node, instead of the PDF's."),
        click.option("--memory", type=MemorySize(), help="Memory of every node, such as 2G, instead of the PDF's."),
        click.option(
            "--disposable/--no-disposable",
            default=None,
            help="Whether a crash of the host may cost the POD, since its disks are not flushed, which is faster. "
            "Default: as deployed, or no; lab local: yes.",
        ),
        click.option(
            "--bundle-via",
            type=click.Choice(["image", "disk", "ssh"]),
            help="How nodes get a release's bundle: in their image, on a read-only disk that they share, or over SSH. "
            "Default: as deployed, or the first of these that is possible.",
        ),
        click.option(
            "--calico-encapsulation",
            type=click.Choice(["ipip", "vxlan", "none"]),
            help="How Calico carries packets from node to node; vxlan needs no BIRD. Default: as deployed, or the "
            "release's.",
        ),
        click.option(
            "--bundle",
            "bundle_file",
            type=click.Path(path_type=Path),
            metavar="DIR|FILE.tar",
            help="Take everything from this bundle of `iecpod bundle build`, and fetch nothing.",
        ),
        bundle_trust_options,
        image_archive_option("Images that nodes are given besides"),
        click.option(
            "--manifest-patch",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Environment of containers in the manifest of the pod network, as YAML (docs/images.md).",
        ),
        addressing_option("as deployed, or fuel"),
        apt_mirror_option("Mirror of the distribution's archive, for nodes and images."),
        demote_option,
        base_os_option,
        supply_options,
    ]
    return _with_options(function, options)


def _with_options(function: F, options: Sequence[Callable[[F], F]]) -> F:
    """In the order in which help shows them."""
    for option in reversed(options):
        function = option(function)
    return function


def make_request(layout: Layout, options: dict[str, Any]) -> PodRequest:
    from iecpod.design.delivery import BundleVia
    from iecpod.design.machines import (  # its many classes take a tenth of the start-up of `validate`
        ProviderName,
        VirtType,
    )
    from iecpod.design.release import Encapsulation

    virt_type, encapsulation = options.get("virt_type", "auto"), options.get("calico_encapsulation")
    return PodRequest(
        ref=PodRef(options["lab"], options["pod"]),
        base_uri=options["base_uri"],
        scenario=options["scenario"],
        release=options["release"],
        connect=options["connect"],
        provider=ProviderName(options["provider"]) if options.get("provider") else None,
        login=options.get("login") or Login(),
        virt_type=None if virt_type == "auto" else VirtType(virt_type),
        pod_cidr=options.get("pod_cidr"),
        service_cidr=options.get("service_cidr"),
        addressing=options.get("addressing"),
        vcpus=options.get("vcpus"),
        memory_mib=options.get("memory"),
        disposable=options.get("disposable"),
        bundle_via=BundleVia(options["bundle_via"]) if options.get("bundle_via") else None,
        calico_encapsulation=Encapsulation(encapsulation) if encapsulation else None,
        eyaml_keys=(options.get("eyaml_private_key"), options.get("eyaml_public_key")),
        demoted=_demoted(options.get("demote")),
        limits=options.get("timeout", ()),
        lock_seconds=options.get("wait_lock", 0.0),
        options=_naming_options(options),
        base_os=options.get("base_os"),
        supply=make_supply(options),
        bundle_file=options.get("bundle_file"),
        bundle_digest=options.get("bundle_digest"),
        bundle_signers=_absolute(options.get("bundle_signers")),
        image_archive_files=options.get("image_archives", ()),
        manifest_patch_file=options.get("manifest_patch"),
        until=options.get("until"),
        may_create=options.get("may_create", True),
        prune=options.get("prune", False),
    )


def _absolute(path: Path | None) -> str | None:
    """A later command may be called elsewhere."""
    return str(path.expanduser().absolute()) if path is not None else None


def _naming_options(options: dict[str, Any]) -> tuple[str, ...]:
    """Those that another verb needs, too, to find the POD."""
    flags = {"lab": "-l", "pod": "-p", "base_uri": "-b", "scenario": "-s", "release": "--release", "connect": "-c"}
    flags["storage_dir"] = "-S"
    flags |= {f"eyaml_{kind}_key": f"--eyaml-{kind}-key" for kind in ("private", "public")}
    return tuple(part for key, flag in flags.items() if options.get(key) for part in (flag, str(options[key])))


def _demoted(names: tuple[str, ...] | None) -> frozenset[str]:
    """Verbs without the option are those of a POD that lives: what its deploy was let through is not refused now."""
    from iecpod.commands.rules import demotable_rules, select_demoted

    return demotable_rules() if names is None else select_demoted(names)
