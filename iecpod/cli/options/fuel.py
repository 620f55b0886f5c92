"""The options of Fuel's ci/deploy.sh that `deploy` takes, and what they mean here; docs/fuel.md documents it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import click

from iecpod.errors import UsageError
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.providers.phase_names import PHASE_NAMES

F = TypeVar("F", bound=Callable[..., Any])

#: Those of every provider; a deploy refuses one that its provider does not have.
_PHASES = tuple(dict.fromkeys((*chain.from_iterable(PHASE_NAMES.values()), *CLUSTER_PHASES)))
#: By how often -e is given: never, once, twice or more.
_UNTIL = (None, "domains", "reachable")
_TEARDOWN = 3

_POINTLESS = {
    "single_socket": "-m has no effect: machines are as large as the PDF says",
    "no_vcp": "-N has no effect: no part of the control plane is virtualised a second time",
    "no_packages": "-P has no effect: deploy installs no packages on this host; bootstrap.sh does",
}


class FuelVerb(enum.Enum):
    """What a line of `deploy` amounts to: -d and -EEE make it another verb."""

    DEPLOY = "deploy"
    PLAN = "plan"
    TEARDOWN = "teardown"


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelMeaning:
    """`until` is the last phase to run, None for all; `may_create` false demands that the machines are there."""

    verb: FuelVerb = FuelVerb.DEPLOY
    until: str | None = None
    may_create: bool = True
    warnings: tuple[str, ...] = ()


def fuel_options(function: F) -> F:
    """-d, -D, -e (-F), -E, -f, -m, -N, -P and --until; -l, -p, -b, -s, -S and -o are options of other verbs, too."""
    options = [
        click.option("-d", "--dry-run", is_flag=True, help="Print the plan and change nothing, as `iecpod plan` does."),
        click.option(
            "-D",
            "--debug",
            is_flag=True,
            envvar="CI_DEBUG",
            show_envvar=True,
            help="Notify every command on nodes and host, one line each, on standard error and in the log.",
        ),
        click.option(
            "-e",
            "-F",
            "--infra-only",
            count=True,
            help="Once: only networks and machines, started. Twice: until they answer to SSH.",
        ),
        click.option("--until", type=click.Choice(_PHASES), help="Stop after this phase."),
        click.option(
            "-E", "--erase", count=True, help="Three times: tear the POD down. Once or twice: no effect, warns."
        ),
        click.option(
            "-f", "--no-create", count=True, help="Machines and networks must be there; none is created or replaced."
        ),
        click.option("-m", "single_socket", is_flag=True, help="Fuel's single-socket computes: no effect, warns."),
        click.option("-N", "no_vcp", is_flag=True, help="Fuel's missing VCP: no effect, warns."),
        click.option("-P", "no_packages", is_flag=True, help="Fuel's skipped packages: no effect, warns."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def fuel_meaning(options: Mapping[str, Any]) -> FuelMeaning:
    """What the values of `fuel_options` ask for. Raises `UsageError` for what contradicts itself."""
    erase, infra_only = options["erase"], options["infra_only"]
    if erase >= _TEARDOWN:
        if options["dry_run"]:
            raise UsageError(
                "-d shows what a deploy would do, and -EEE tears down",
                "leave out one of them; `iecpod status` shows what is there",
            )
        return FuelMeaning(verb=FuelVerb.TEARDOWN)
    if infra_only and options["until"]:
        raise UsageError("-e and --until both say where to stop", "leave out one of them")
    return FuelMeaning(
        verb=FuelVerb.PLAN if options["dry_run"] else FuelVerb.DEPLOY,
        until=options["until"] or _UNTIL[min(infra_only, len(_UNTIL) - 1)],
        may_create=not options["no_create"],
        warnings=tuple(_warnings(options)),
    )


def _warnings(options: Mapping[str, Any]) -> list[str]:
    warnings = [text for name, text in _POINTLESS.items() if options[name]]
    if options["erase"]:
        warnings.append("-E once or twice has no effect on virtual PODs; -EEE tears the POD down")
    if options["no_create"] > 1:
        warnings.append("-f counts once: phases that are in place are passed over anyway")
    return warnings
