"""What upstream's end-to-end tests found: as text for people, as JSON, and as the files that Sonobuoy leaves."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from iecpod.conformance.ginkgo import FAILED, NOT_RUN, PASSED, SKIPPED, SpecResult
from iecpod.errors import ExitCode, UsageError
from iecpod.files.writer import READABLE, new_file, replace_file, try_new_file
from iecpod.reports.junit import Case, CaseFailure, Suite, to_junit
from iecpod.reports.table import format_table

LOG = "e2e.log"
JUNIT = "junit_01.xml"

#: Where Sonobuoy's archives have the files of its plug-in e2e, and where jobs such as bluval's look for them.
_TREE = ("plugins", "e2e", "results", "global")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceReport:
    """`tests` are all that were selected; `suite_failures` are of what comes before and after them.

    `version` is that of the tests. `directory` holds the whole log.
    """

    pod: str
    run_id: str
    version: str
    selection: str
    focus: str
    skip: str
    seconds: float
    tests: tuple[SpecResult, ...]
    suite_failures: tuple[SpecResult, ...]
    timed_out: bool
    directory: str

    @property
    def outcome(self) -> str:
        if self.timed_out:
            return "timed out"
        has_failed = self.suite_failures or any(test.outcome in (FAILED, NOT_RUN) for test in self.tests)
        return FAILED if has_failed else PASSED

    @property
    def exit_code(self) -> ExitCode:
        return {PASSED: ExitCode.OK, FAILED: ExitCode.FAILED, "timed out": ExitCode.TIMEOUT}[self.outcome]

    @property
    def counts(self) -> str:
        found = Counter(test.outcome for test in self.tests)
        return ", ".join(f"{found[outcome]} {outcome}" for outcome in (PASSED, FAILED, SKIPPED, NOT_RUN))

    def to_text(self) -> str:
        """A row a test, what did not pass below it, and the counts."""
        rows = [(test.outcome, _shown(test.seconds), test.name) for test in self.tests]
        explained = [_explained(test) for test in (*self.suite_failures, *self.tests) if test.text]
        ended = ", timed out" if self.timed_out else ""
        summary = f"Kubernetes {self.version}, {self.selection}: {self.counts} in {self.seconds:.0f} s{ended}"
        table = format_table(("RESULT", "SECONDS", "TEST"), rows)
        return "\n".join([table, *explained, "", summary, f"the log is {self.directory}/{LOG}"])

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "outcome": self.outcome}, indent=2) + "\n"

    def to_junit(self) -> str:
        """For a run that left no report of its own."""
        cases = tuple(_case(test) for test in (*self.suite_failures, *self.tests))
        return to_junit("Kubernetes e2e suite", [Suite("Kubernetes e2e suite", cases, self.seconds)]) + "\n"


def check_output(directory: Path) -> None:
    """Makes the directories below which `publish` writes. Raises `UsageError` where that will not be possible."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for depth in range(len(_TREE)):
            _make_own(directory.joinpath(*_TREE[: depth + 1]))
        for place in _places(directory):
            for name in (LOG, JUNIT):
                try_new_file(place / name)
    except OSError as error:
        raise UsageError(
            f"--output: {error.filename or directory} cannot be written: {error.strerror}",
            "name a directory that can be written, with no symbolic links below it",
        ) from error


def publish(directory: Path, log: Path, junit: Path, own_junit: str) -> None:
    """Writes the tree of Sonobuoy, and both files beside it; `own_junit` where the tests left none."""
    for place in _places(directory):
        _copy(log, place / LOG)
        if junit.is_file():
            _copy(junit, place / JUNIT)
        else:
            replace_file(place / JUNIT, own_junit, READABLE)


def _copy(source: Path, target: Path) -> None:
    """Logs of all tests have hundreds of megabytes."""
    with new_file(target, READABLE) as file, source.open("rb") as content:
        shutil.copyfileobj(content, file)


def _places(directory: Path) -> tuple[Path, Path]:
    return directory.joinpath(*_TREE), directory


def _make_own(path: Path) -> None:
    """Raises `NotADirectoryError` for a link: its target was not named."""
    path.mkdir(exist_ok=True)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"


def _explained(test: SpecResult) -> str:
    return f"\n{test.outcome}: {test.name}\n" + "\n".join(f"  {line}" for line in test.text.splitlines())


def _case(test: SpecResult) -> Case:
    """As Ginkgo names them."""
    failure = CaseFailure(message="", kind=FAILED, text=test.text) if test.outcome == FAILED else None
    skipped = {SKIPPED: f"skipped - {test.text}", NOT_RUN: "skipped"}.get(test.outcome, "")
    name = f"[It] {test.name}"
    return Case(
        classname="Kubernetes e2e suite", name=name, seconds=test.seconds or 0.0, failure=failure, skipped=skipped
    )
