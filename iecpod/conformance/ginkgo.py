"""What upstream's end-to-end tests say of themselves: Ginkgo's lines while they run, its JUnit file when they end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from iecpod.errors import HostError

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"
NOT_RUN = "not run"

#: Ginkgo draws it before a test and behind it.
_DELIMITER = "-" * 30

#: `• [12.345 seconds]`, `• [FAILED] [30.001 seconds]`, `S [SKIPPED] [0.012 seconds]`; `↺` passed when it was repeated.
_END = re.compile(r"(?P<mark>[•SP↺])(?: \[(?P<state>[A-Z][^\]]*)\])? \[(?P<seconds>[0-9]+\.[0-9]+) seconds\]")

_LONGEST_LINE_BYTES = 1 << 20
_LARGEST_REPORT_BYTES = 64 << 20
_TEST = "[It] "
_SHOWN_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecResult:
    """`text` is how a failure begins, or why a test skipped itself; `seconds` is None where it did not run."""

    name: str
    outcome: str
    seconds: float | None = None
    text: str = ""


@dataclass(slots=True)
class GinkgoLines:
    """Reads the output of `--ginkgo.v` as it comes: `started` and `ended` are called for each of the tests `names`."""

    names: Sequence[str]
    started: Callable[[str], None]
    ended: Callable[[SpecResult], None]
    results: dict[str, SpecResult] = field(default_factory=dict)
    _rest: bytes = b""
    _after_delimiter: bool = False
    _current: str = ""

    def feed(self, content: bytes) -> None:
        *lines, rest = (self._rest + content).split(b"\n")
        self._rest = rest[:_LONGEST_LINE_BYTES]
        for line in lines:
            self._read(line.decode(errors="replace"))

    def _read(self, line: str) -> None:
        if self._after_delimiter and not self._current:
            self._begin(line)
        elif self._current and (match := _END.match(line)):
            outcome = _outcome(match["mark"], match["state"])
            self._end(SpecResult(name=self._current, outcome=outcome, seconds=float(match["seconds"])))
        self._after_delimiter = line == _DELIMITER

    def _begin(self, line: str) -> None:
        """The line is the test's name, with its labels behind it."""
        found = [name for name in self.names if line == name or line.startswith(f"{name} [")]
        if found:
            self._current = max(found, key=len)
            self.started(self._current)

    def _end(self, result: SpecResult) -> None:
        self.results[result.name] = result
        self._current = ""
        self.ended(result)


def _outcome(mark: str, state: str | None) -> str:
    if state is None or mark == "↺":
        return PASSED
    return SKIPPED if state in ("SKIPPED", "PENDING") else FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class JunitFile:
    """`tests` by name; `suite_failures` are of what comes before and after all tests.

    `reasons` is why Ginkgo ended early, in its own words, such as `Suite Timeout Elapsed`.
    """

    tests: dict[str, SpecResult]
    suite_failures: tuple[SpecResult, ...]
    reasons: str

    @property
    def has_timed_out(self) -> bool:
        return "Timeout Elapsed" in self.reasons


def read_junit(content: bytes) -> JunitFile:
    """Raises `HostError` for what is no such file."""
    if len(content) > _LARGEST_REPORT_BYTES:
        raise _unreadable(f"it has {len(content)} bytes")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise _unreadable(str(error)) from error
    cases = [(case, case.get("name", "")) for case in root.iter("testcase")]
    tests = [_result(case, name.removeprefix(_TEST)) for case, name in cases if name.startswith(_TEST)]
    others = [_result(case, name) for case, name in cases if not name.startswith(_TEST)]
    properties = {entry.get("name"): entry.get("value", "") for entry in root.iter("property")}
    return JunitFile(
        tests={result.name: result for result in tests},
        suite_failures=tuple(result for result in others if result.outcome == FAILED),
        reasons=properties.get("SpecialSuiteFailureReason", ""),
    )


def _result(case: ElementTree.Element, name: str) -> SpecResult:
    seconds = _seconds(case.get("time", ""))
    failure = case.find("failure") if case.find("failure") is not None else case.find("error")
    if failure is not None:
        return SpecResult(name=name, outcome=FAILED, seconds=seconds, text=first_lines(failure.text or ""))
    skipped = case.find("skipped")
    if skipped is None:
        return SpecResult(name=name, outcome=PASSED, seconds=seconds)
    # `skipped` alone: it was not selected, or its turn did not come.
    _, own, reason = skipped.get("message", "").partition(" - ")
    if own:
        return SpecResult(name=name, outcome=SKIPPED, seconds=seconds, text=first_lines(reason))
    return SpecResult(name=name, outcome=NOT_RUN)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _unreadable(f"{text!r} is no time") from None


def first_lines(text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    more = [f"… {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return "\n".join([*lines[:_SHOWN_LINES], *more])


def _unreadable(why: str) -> HostError:
    return HostError(f"the report of the tests cannot be read: {why}", "see e2e.log for what they said")
