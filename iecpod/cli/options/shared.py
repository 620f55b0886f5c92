"""Options that commands share; `table.py` makes those that a POD is deployed with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from iecpod.cli.completion import complete_lab, complete_pod, complete_rule
from iecpod.cli.options.mirrors import apt_mirror_option, supply_options
from iecpod.cli.options.pod_options import table_option, with_options
from iecpod.errors import UsageError
from iecpod.files.trusted_paths import check_layout
from iecpod.layout import Layout
from iecpod.model import check_name

F = TypeVar("F", bound=Callable[..., Any])


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


demote_option = click.option(
    "--demote",
    metavar="RULE",
    multiple=True,
    help="Makes errors of this rule warnings; may be given more than once. `iecpod rules` lists them.",
    shell_complete=complete_rule,
)


def eyaml_options(function: F) -> F:
    """--eyaml-private-key and --eyaml-public-key."""
    options = [
        click.option("--eyaml-private-key", metavar="FILE", help="hiera-eyaml's private key: decrypts ENC[PKCS7,...]."),
        click.option("--eyaml-public-key", metavar="FILE", help="hiera-eyaml's public key; both keys go together."),
    ]
    return with_options(function, options)


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


def pod_options(function: F) -> F:
    """-l, -p, -b, -s, -c, -S, --release and eyaml's keys: which POD, what it is to be and where it is kept."""
    options = [
        lab_option(required=True),
        pod_option(required=True),
        *map(table_option, ("base_uri", "scenario", "release", "uri")),
        storage_dir_option,
        eyaml_options,
    ]
    return with_options(function, options)


def bundle_trust_options(function: F) -> F:
    """--bundle-digest and --bundle-signers: what a bundle must be before anything of it is used."""
    return with_options(function, [table_option("bundle_digest"), table_option("bundle_signers")])


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
        *map(table_option, ("virt_type", "pod_cidr", "service_cidr", "vcpus", "memory_mib", "disposable")),
        *map(table_option, ("bundle_via", "calico_encapsulation")),
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
        table_option("addressing"),
        apt_mirror_option("Mirror of the distribution's archive, for nodes and images."),
        demote_option,
        table_option("base_os"),
        supply_options,
    ]
    return with_options(function, options)
