"""The verbs about descriptors alone: they need no hypervisor, and load none of what it takes to reach one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iecpod.cli.options.pod_options import table_option
from iecpod.cli.options.shared import (
    Invocation,
    demote_option,
    eyaml_options,
    lab_option,
    pod_option,
)
from iecpod.cli.output import echo, echo_document, echo_json
from iecpod.errors import ExitCode
from iecpod.model import PodRef

if TYPE_CHECKING:
    from iecpod.commands.validate import Checks
    from iecpod.descriptors.addresses.addressing import Scheme
    from iecpod.reports.validation import Validation

#: As in `iecpod.descriptors.schema`, which takes its time to load.
_SCHEMAS = ("pdf", "idf", "release", "scenario")


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@lab_option(required=False)
@pod_option(required=False)
@table_option("base_uri")
@click.option("--all", "everything", is_flag=True, help="Every POD of the base, which must be a directory.")
@click.option(
    "--format",
    type=click.Choice(["text", "json", "junit"]),
    default="text",
    show_default=True,
    help="junit: XML for Jenkins, one suite a POD, one case a file and a rule.",
)
@click.option("--strict", is_flag=True, help="Warnings are errors, except those of demoted rules.")
@demote_option
@table_option("addressing", "compact: nodes in a row from the start of ip-range. Default: fuel.")
@eyaml_options
@click.pass_obj
def validate(
    invocation: Invocation,
    /,
    format: str,
    strict: bool,
    demote: tuple[str, ...],
    addressing: Scheme | None,
    eyaml_private_key: str | None,
    eyaml_public_key: str | None,
    **what: Any,
) -> None:
    """Says everything that is wrong with descriptors: of a POD (-l, -p), of FILES, or of a whole base (--all).

    A PDF is checked together with the IDF beside it, and an IDF with its PDF; a file alone is checked as far as that
    goes. Exits with 3 if there is an error.

    \b
    Examples:
      iecpod validate -l arm -p virtual2 -b file:///home/me/lab
      iecpod validate labs/arm/virtual2.yaml
      iecpod validate --all -b . --strict --format junit > report.xml
    """
    from iecpod.commands.rules import select_demoted
    from iecpod.commands.validate import Checks
    from iecpod.pods.eyaml_keys import load_keys

    checks = Checks(
        schemas_dir=invocation.layout.schemas_dir,
        decrypt=load_keys(eyaml_private_key, eyaml_public_key),
        scheme=addressing or "fuel",
        strict=strict,
        demoted=select_demoted(demote),
    )
    validation = _validate(checks, default_base=str(invocation.layout.pdf_dir), **what)
    if format == "json":
        echo_json(validation.to_json())
    else:
        echo(validation.to_junit() if format == "junit" else validation.to_text())
    if validation.errors:
        raise SystemExit(ExitCode.DESCRIPTOR)


def _validate(
    checks: Checks,
    *,
    default_base: str,
    files: tuple[Path, ...],
    lab: str | None,
    pod: str | None,
    base_uri: str | None,
    everything: bool,
) -> Validation:
    from iecpod.commands.validate import validate_files, validate_pod, validate_tree

    if sum((bool(files), lab is not None or pod is not None, everything)) != 1:
        raise click.UsageError("give either a POD with -l and -p, or FILES, or --all")
    if files:
        if base_uri is not None:
            raise click.UsageError("FILES are paths of their own: they go without -b")
        return validate_files(files, checks)
    if everything:
        return validate_tree(base_uri or default_base, checks)
    if lab is None or pod is None:
        raise click.UsageError("a POD is named by both -l and -p")
    return validate_pod(base_uri or default_base, PodRef(lab, pod), checks)


@click.command()
@click.option("--format", type=click.Choice(["table", "json"]), default="table", show_default=True)
def rules(format: str) -> None:
    """Lists every rule: how severe it is, whether it can be demoted, why it is there and what it was learned from."""
    from iecpod.commands.rules import rules_json, rules_text

    if format == "json":
        echo_json(rules_json())
    else:
        echo(rules_text())


@click.command()
@click.argument("kind", type=click.Choice(_SCHEMAS))
@click.pass_obj
def schema(invocation: Invocation, /, kind: str) -> None:
    """Prints the JSON Schema of KIND, for editors and other programs."""
    echo_document((invocation.layout.schemas_dir / f"{kind}.json").read_text(encoding="utf-8"))


@click.command()
@table_option("base_uri")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def labs(invocation: Invocation, /, base_uri: str | None, output: str) -> None:
    """Lists the PODs of a base: their nodes, whether their descriptors are valid, and whether they are deployed."""
    from iecpod.commands.labs import list_labs

    listed = list_labs(base_uri or str(invocation.layout.pdf_dir), invocation.stored_layout())
    if output == "json":
        echo_json(listed.to_json())
    else:
        echo(listed.to_text())


COMMANDS = (validate, rules, schema, labs)
