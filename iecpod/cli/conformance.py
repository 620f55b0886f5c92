"""`iecpod conformance`: upstream's own tests against the cluster of a POD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iecpod.cli.after_run import duration
from iecpod.cli.options.pod_request import make_request
from iecpod.cli.options.run_options import events_option, wait_lock_option
from iecpod.cli.options.shared import pod_options
from iecpod.cli.output import echo, echo_json
from iecpod.cli.verb_context import pass_pods
from iecpod.errors import ExitCode

if TYPE_CHECKING:
    from iecpod.design.conformance import Selection
    from iecpod.wiring.pods import Pods

_DEFAULT_SECONDS = 3600
_DEFAULT_SECONDS_OF_ALL = 24 * 3600


@click.command()
@pod_options
@click.option("--quick", is_flag=True, help="16 short tests of pods, services, DNS, network and volumes: the default.")
@click.option("--full", is_flag=True, help="All conformance tests but the disruptive ones: hours.")
@click.option("--focus", metavar="RE", help="All tests with names like this regular expression of Go.")
@click.option("--skip", metavar="RE", help="With --focus: none of the tests with names like this.")
@click.option(
    "--timeout",
    metavar="TIME",
    callback=duration,
    help="Time for all tests: a number with the unit s, m, h, d or w. Default: 1h; with --full 24h.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write e2e.log and junit_01.xml there, and below plugins/e2e/results/global as Sonobuoy does.",
)
@click.option(
    "-o",
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How results are printed.",
)
@events_option
@wait_lock_option
@pass_pods
def conformance(
    pods: Pods,
    /,
    timeout: int | None,
    output: Path | None,
    output_format: str,
    events: Path | None,
    quick: bool,
    full: bool,
    focus: str | None,
    skip: str | None,
    **options: Any,
) -> None:
    """Runs upstream's own end-to-end tests (e2e.test) against the POD's cluster.

    They are compiled from the sources of the cluster's Kubernetes, which takes minutes the first time, and run on this
    host, one after another; where nodes pull their images, upstream's image of the tests runs in the cluster. What they
    make there is removed at the end. Exits with 1 if a test failed or did not run, with 5 if the time was up.

    \b
    Examples:
      iecpod conformance -l local -p virtual1
      iecpod conformance -l local -p virtual1 --focus '\\[sig-network\\].*\\[Conformance\\]' --timeout 3h
      iecpod conformance -l local -p virtual1 --full --output results
    """
    from iecpod.conformance.conformance_run import ConformanceOrder

    selection = _selection(quick=quick, full=full, focus=focus, skip=skip)
    seconds = timeout or (_DEFAULT_SECONDS_OF_ALL if full else _DEFAULT_SECONDS)
    order = ConformanceOrder(selection=selection, seconds=seconds, output=output)
    report = pods.conformance(make_request(pods.layout, options), order, events)
    if output_format == "json":
        echo_json(report.to_json())
    else:
        echo(report.to_text())
    if report.exit_code is not ExitCode.OK:
        raise SystemExit(report.exit_code)


def _selection(*, quick: bool, full: bool, focus: str | None, skip: str | None) -> Selection:
    from iecpod.design.conformance import focused_selection, full_selection, quick_selection

    if sum((quick, full, focus is not None)) > 1:
        raise click.UsageError("--quick, --full and --focus choose tests: give one of them")
    if skip is not None and focus is None:
        raise click.UsageError("--skip leaves out tests of --focus: give that, too")
    if focus is not None:
        return focused_selection(focus, skip or "")
    return full_selection() if full else quick_selection()


COMMANDS = (conformance,)
