"""The files that a run leaves for jobs to read: its report as JSON and as JUnit's XML, and its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from iecpod.errors import IecpodError, UsageError
from iecpod.files.writer import READABLE, replace_file, try_new_file
from iecpod.model import PodRef
from iecpod.reports.run_report import Report, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutputs:
    """Files as options name them; None where none is asked for."""

    report: Path | None = None
    junit: Path | None = None
    events: Path | None = None


@contextmanager
def saved_reports(outputs: RunOutputs, ref: PodRef, run_id: str) -> Iterator[Callable[[Report], None]]:
    """Saves the report that the block is given to save; where it ends without, a report of why.

    Raises `UsageError` at once where a file cannot be written.
    """
    _check_writable(outputs)
    saved: list[Report] = []

    def save(report: Report) -> None:
        saved.append(report)
        if outputs.report is not None:
            replace_file(outputs.report, report.to_json(), READABLE)
        if outputs.junit is not None:
            replace_file(outputs.junit, report.to_junit(), READABLE)

    try:
        yield save
    except (IecpodError, KeyboardInterrupt) as error:
        if not saved:
            with suppress(OSError):  # the error that is reported is why the run ended
                save(refusal(ref, run_id, error))
        raise


def _check_writable(outputs: RunOutputs) -> None:
    for option, path in (("--report", outputs.report), ("--junit", outputs.junit)):
        try:
            if path is not None:
                try_new_file(path)
        except OSError as error:
            raise UsageError(
                f"{option}: {path} cannot be written: {error.strerror}",
                "name a file in a directory that can be written",
            ) from error
