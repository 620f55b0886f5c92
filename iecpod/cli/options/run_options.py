"""Options of the verbs that change a POD: what they write for jobs, and how long they may wait."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path)

events_option = click.option(
    "--events",
    type=_PATH,
    envvar="IECPOD_EVENTS",
    show_envvar=True,
    help="Append what happens to this file, as JSON lines.",
)


wait_lock_option = click.option(
    "--wait-lock",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=0.0,
    help="Wait so long for another run on the POD to end. Default: refuse at once.",
)


def run_options(function: Callable[..., None]) -> Callable[..., None]:
    """--report, --junit and --events, which become `outputs` (a `RunOutputs`), --wait-lock and --timeout."""

    @click.option("--report", type=_PATH, help="Write the report there, as JSON.")
    @click.option("--junit", type=_PATH, help="Write the report there, as JUnit's XML: a case a phase and node.")
    @events_option
    @wait_lock_option
    @click.option(
        "--timeout",
        metavar="[PHASE=]SECONDS",
        multiple=True,
        callback=_parse_limits,
        help="Time for one phase, or for each that waits; may be given more than once. Default: by the guests' speed.",
    )
    @functools.wraps(function)
    def run(*arguments: Any, report: Path | None, junit: Path | None, events: Path | None, **options: Any) -> None:
        from iecpod.reports.job_files import RunOutputs

        function(*arguments, outputs=RunOutputs(report=report, junit=junit, events=events), **options)

    return run


def _parse_limits(
    _context: click.Context, _parameter: click.Parameter, texts: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """Seconds by phase; what is said of one phase goes before what is said of all."""
    if not texts:
        return ()
    from iecpod.design.deadline_factor import PHASES_THAT_WAIT

    of_all: dict[str, float] = {}
    of_one: dict[str, float] = {}
    for text in texts:
        phase, equals, seconds = text.rpartition("=")
        if equals and phase not in PHASES_THAT_WAIT:
            raise click.BadParameter(f"phase {phase!r} has no deadline; these have: {', '.join(PHASES_THAT_WAIT)}")
        if equals:
            of_one[phase] = _positive(text, seconds)
        else:
            of_all |= dict.fromkeys(PHASES_THAT_WAIT, _positive(text, seconds))
    return tuple({**of_all, **of_one}.items())


def _positive(text: str, seconds: str) -> float:
    if not seconds.isascii() or not seconds.isdigit() or int(seconds) == 0:
        raise click.BadParameter(f"{text}: SECONDS is a whole number from 1 on")
    return float(seconds)
