"""One run of upstream's end-to-end tests: which they are, what they say on the way, and what is kept of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iecpod.conformance.ginkgo import (
    FAILED,
    NOT_RUN,
    PASSED,
    GinkgoLines,
    JunitFile,
    SpecResult,
    first_lines,
    read_junit,
)
from iecpod.conformance.report import JUNIT, LOG, ConformanceReport, publish
from iecpod.design.conformance import Selection
from iecpod.errors import HostError, Interrupted, UsageError
from iecpod.pods.ports import RunContext
from iecpod.ports import ProgramEnd
from iecpod.results import DONE

_TAIL_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of a run, below the POD's. What the last run left there stays until the next one."""

    directory: Path

    @property
    def results(self) -> Path:
        return self.directory / "results"

    @property
    def junit(self) -> Path:
        return self.results / JUNIT

    @property
    def log(self) -> Path:
        return self.directory / LOG

    @property
    def dry_log(self) -> Path:
        """Of the dry run, which writes its own report to `junit`."""
        return self.directory / "dry-run.log"

    def clear(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.results.mkdir(mode=0o700, parents=True)


class E2eTests(Protocol):
    """Upstream's tests, wherever they run; they write log and report into the run's place."""

    @property
    def version(self) -> str:
        """Without a leading `v`."""

    def dry_run(self, selection: Selection) -> ProgramEnd:
        """Reports the tests that are selected as passed. Raises `IecpodError`."""

    def run(self, selection: Selection, seconds: int, look: Callable[[bytes], None]) -> ProgramEnd:
        """Ends them after `seconds`; `look` is given what they print, as it comes. Raises `IecpodError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceOrder:
    """`seconds` is the time for all tests; `output` is where copies of log and JUnit file are wanted."""

    selection: Selection
    seconds: int
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class ConformanceRun:
    """`select` first, then `run`."""

    context: RunContext
    tests: E2eTests
    order: ConformanceOrder
    place: Place

    def select(self) -> tuple[str, ...]:
        """The names of the tests to run, as the tests themselves find them. Raises `UsageError`, `HostError`."""
        selection = self.order.selection
        if self.tests.dry_run(selection) is ProgramEnd.INTERRUPTED:
            raise KeyboardInterrupt
        report = self._read_junit()
        self.place.junit.unlink(missing_ok=True)
        if report is None:
            raise UsageError(
                f"upstream's tests cannot be selected: {_tail(self.place.dry_log)}",
                f"correct the regular expression {selection.focus!r}; it is one of Go",
            )
        found = [test.name for test in report.tests.values() if test.outcome == PASSED]
        if missing := selection.missing(found):
            raise HostError(
                f"upstream's tests of Kubernetes {self.tests.version} lack: {'; '.join(missing)}",
                "choose tests of that version with --focus",
            )
        if not found:
            raise UsageError(f"no test has a name like {selection.focus!r}", "`--focus .` has all of them")
        return selection.choose(found)

    def run(self, names: Sequence[str]) -> ConformanceReport:
        """Publishes what there is however it ends. Raises `Interrupted` once the tests have ended."""
        lines, clock = self._lines(names), self.context.clock
        start, end = clock.now(), ProgramEnd.INTERRUPTED
        try:
            end = self.tests.run(self.order.selection.only(names), self.order.seconds, lines.feed)
        finally:
            report = self._report(names, lines, end, clock.now() - start)
            if self.order.output is not None:
                publish(self.order.output, self.place.log, self.place.junit, report.to_junit())
        if end is ProgramEnd.INTERRUPTED:
            raise Interrupted("interrupted", f"{report.counts}; what the tests made in the cluster is being removed")
        return report

    def _lines(self, names: Sequence[str]) -> GinkgoLines:
        """To a reporter, a test is a phase."""
        reporter = self.context.reporter
        started: list[str] = []

        def begin(name: str) -> None:
            started.append(name)
            reporter.phase_started(name, f"{len(started)} of {len(names)}")

        def end(result: SpecResult) -> None:
            outcome = DONE if result.outcome == PASSED else result.outcome
            reporter.phase_finished(result.name, outcome, result.seconds or 0.0)

        return GinkgoLines(names, begin, end)

    def _report(self, names: Sequence[str], lines: GinkgoLines, end: ProgramEnd, seconds: float) -> ConformanceReport:
        """By the tests' own file; where they left none, by what they said on the way."""
        junit = self._read_junit()
        known = junit.tests if junit is not None else lines.results
        broken = SpecResult(name="the tests left no report", outcome=FAILED, text=_tail(self.place.log))
        selection = self.order.selection
        return ConformanceReport(
            pod=str(self.context.ref),
            run_id=self.context.run_id,
            version=self.tests.version,
            selection=selection.title,
            focus=selection.focus,
            skip=selection.skip,
            seconds=seconds,
            tests=tuple(known.get(name, SpecResult(name=name, outcome=NOT_RUN)) for name in names),
            suite_failures=junit.suite_failures if junit is not None else (broken,),
            timed_out=end is ProgramEnd.TIMED_OUT or (junit is not None and junit.has_timed_out),
            directory=str(self.place.directory),
        )

    def _read_junit(self) -> JunitFile | None:
        """None also where the tests were killed while they wrote it."""
        try:
            return read_junit(self.place.junit.read_bytes())
        except (FileNotFoundError, HostError):
            return None


def _tail(log: Path) -> str:
    text = log.read_bytes()[-_TAIL_CHARACTERS:].decode(errors="replace") if log.is_file() else ""
    panic = text.find("panic: ")
    return first_lines(text[panic:] if panic >= 0 else text)
