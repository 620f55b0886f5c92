"""One run of upstream's end-to-end tests: which they are, what they say on the way, and what is kept of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from iecpod.commands.conformance_report import JUNIT, LOG, ConformanceReport, publish
from iecpod.commands.ginkgo import FAILED, NOT_RUN, PASSED, GinkgoLines, JunitFile, SpecResult, first_lines, read_junit
from iecpod.commands.resolve import PodInputs
from iecpod.commands.tools import PodTools
from iecpod.design.conformance import E2eCall, Selection, registries
from iecpod.design.release import Release
from iecpod.errors import HostError, Interrupted, UsageError
from iecpod.ports import ProgramEnd
from iecpod.results import DONE
from iecpod.yaml_document import dump_yaml

#: Below the POD's; the last run's files stay there until the next one.
_DIRECTORY = "conformance"
_DRY_RUN_LOG = "dry-run.log"
_IMAGES_LOG = "images.log"
_DRY_RUN_SECONDS = 600.0

#: Beyond the time for the tests, which Ginkgo itself watches over, to begin and to end.
_EXTRA_SECONDS = 120.0
#: For a test that is interrupted, and its steps of cleaning up.
_GRACE_SECONDS = 60.0

_TAIL_CHARACTERS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class E2ePrograms:
    """Programs of this host: the tests, and a kubectl of their version, which they call. `version` has no `v`."""

    tests: Path
    kubectl: Path
    version: str


class Bench(Protocol):
    """Where the tests are compiled and run."""

    def programs(self, release: Release) -> E2ePrograms:
        """Compiled where they are not cached. Raises `ImageError`."""

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log_path: Path,
        look: Callable[[bytes], None],
        seconds: float,
        grace_seconds: float,
    ) -> ProgramEnd:
        """Runs a program of this host; `look` is given what it writes, as it comes.

        After `seconds`, or when a signal comes, it is asked to end within `grace_seconds`. Raises `HostError`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceOrder:
    """`seconds` is the time for all tests; `output` is where copies of log and JUnit file are wanted."""

    selection: Selection
    seconds: int
    output: Path | None = None


class ConformanceRun:
    """`prepare` first, `run` last."""

    def __init__(
        self,
        inputs: PodInputs,
        tools: PodTools,
        bench: Bench,
        order: ConformanceOrder,
        programs: E2ePrograms,
        command_prefix: tuple[str, ...],
    ) -> None:
        self._inputs = inputs
        self._tools = tools
        self._bench = bench
        self._order = order
        self._programs = programs
        self._prefix = command_prefix
        self._directory = tools.pod_dir / _DIRECTORY
        self._results = self._directory / "results"
        self._call = E2eCall(
            program=programs.tests,
            kubectl=self._directory / "kubectl",
            kubeconfig=tools.kubeconfig_path,
            arch=inputs.spec.pdf.nodes[0].arch,
            results=self._results,
        )

    def prepare(self) -> None:
        """Leaves the run's directory with nothing but what the tests need."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(mode=0o700)
        for name in ("results", "tmp"):
            (self._directory / name).mkdir()
        # The binary of Kubernetes runs the program that it is called as.
        (self._directory / "kubectl").symlink_to(self._programs.kubectl)
        repositories = dump_yaml(registries(self._inputs.release.image_repository))
        (self._directory / "repositories.yaml").write_text(repositories)

    def check_images(self, tags: Mapping[str, Sequence[str]]) -> None:
        """Raises `HostError` where the tests ask for images of these names by other tags."""
        self._execute(self._call.images_argv(), _IMAGES_LOG, lambda _output: None, _DRY_RUN_SECONDS)
        repository = self._inputs.release.image_repository
        lines = (self._directory / _IMAGES_LOG).read_text(errors="replace").splitlines()
        asked = {line.strip() for line in lines if line.partition(":")[0] in {f"{repository}/{name}" for name in tags}}
        if not asked:
            raise HostError(f"upstream's tests name no images: {self._log_tail(_IMAGES_LOG)}")
        known = {f"{repository}/{name}:{tag}" for name in tags for tag in tags[name]}
        if unknown := sorted(asked - known):
            raise HostError(
                f"upstream's tests of Kubernetes {self._programs.version} ask for {', '.join(unknown)}, and release "
                f"{self._inputs.release.name} has other tags",
                "correct test_images of the release",
            )

    def select(self) -> Selection:
        """With the names of the tests that the program finds. Raises `UsageError`, `HostError`."""
        selection = self._order.selection
        end = self._execute(self._call.dry_argv(selection), _DRY_RUN_LOG, lambda _output: None, _DRY_RUN_SECONDS)
        if end is ProgramEnd.INTERRUPTED:
            raise KeyboardInterrupt
        report = self._take_junit()
        if report is None:
            raise UsageError(
                f"upstream's tests cannot be selected: {self._log_tail(_DRY_RUN_LOG)}",
                f"correct the regular expression {selection.focus!r}; it is one of Go",
            )
        found = tuple(sorted(test.name for test in report.tests.values() if test.outcome == PASSED))
        if missing := sorted(set(selection.names) - set(found)):
            raise HostError(
                f"upstream's tests of Kubernetes {self._programs.version} lack: {'; '.join(missing)}",
                "choose tests of that version with --focus",
            )
        if not found:
            raise UsageError(f"no test has a name like {selection.focus!r}", "`--focus .` has all of them")
        return replace(selection, names=found)

    def run(self, order: ConformanceOrder) -> ConformanceReport:
        """Publishes what there is however it ends. Raises `Interrupted` once the tests have ended."""
        lines = self._lines(order.selection.names)
        start, end = self._tools.clock.now(), ProgramEnd.INTERRUPTED
        argv = [*self._prefix, *self._call.argv(order.selection, order.seconds)]
        try:
            end = self._execute(argv, LOG, lines.feed, order.seconds + _EXTRA_SECONDS)
        finally:
            report = self._report(order, lines, end, self._tools.clock.now() - start)
            if order.output is not None:
                publish(order.output, self._directory / LOG, self._results / JUNIT, report.to_junit())
        if end is ProgramEnd.INTERRUPTED:
            raise Interrupted("interrupted", f"{report.counts}; what the tests made in the cluster is being removed")
        return report

    def _execute(self, argv: Sequence[str], log: str, look: Callable[[bytes], None], seconds: float) -> ProgramEnd:
        environment = {
            "HOME": str(self._directory / "tmp"),
            "KUBE_TEST_REPO_LIST": str(self._directory / "repositories.yaml"),
            "TMPDIR": str(self._directory / "tmp"),
        }
        return self._bench.run(
            argv,
            environment=environment,
            directory=self._directory,
            log_path=self._directory / log,
            look=look,
            seconds=seconds,
            grace_seconds=_GRACE_SECONDS,
        )

    def _lines(self, names: Sequence[str]) -> GinkgoLines:
        """To a reporter, a test is a phase."""
        reporter = self._tools.reporter
        begun: list[str] = []

        def begin(name: str) -> None:
            begun.append(name)
            reporter.phase_started(name, f"{len(begun)} of {len(names)}")

        def end(result: SpecResult) -> None:
            outcome = DONE if result.outcome == PASSED else result.outcome
            reporter.phase_finished(result.name, outcome, result.seconds or 0.0)

        return GinkgoLines(names, begin, end)

    def _report(
        self, order: ConformanceOrder, lines: GinkgoLines, end: ProgramEnd, seconds: float
    ) -> ConformanceReport:
        """By the tests' own file; where they left none, by what they said on the way."""
        junit = self._read_junit()
        known = junit.tests if junit is not None else lines.results
        tests = tuple(known.get(name, SpecResult(name=name, outcome=NOT_RUN)) for name in order.selection.names)
        broken = () if junit is not None else (self._broken(),)
        return ConformanceReport(
            pod=str(self._tools.ref),
            run_id=self._tools.run_id,
            version=self._programs.version,
            selection=order.selection.title,
            focus=order.selection.focus,
            skip=order.selection.skip,
            seconds=seconds,
            tests=tests,
            suite_failures=junit.suite_failures if junit is not None else broken,
            timed_out=end is ProgramEnd.TIMED_OUT or (junit is not None and junit.has_timed_out),
            directory=str(self._directory),
        )

    def _broken(self) -> SpecResult:
        return SpecResult(name="e2e.test left no report", outcome=FAILED, text=self._log_tail(LOG))

    def _log_tail(self, log: str) -> str:
        path = self._directory / log
        text = path.read_bytes()[-_TAIL_CHARACTERS:].decode(errors="replace") if path.is_file() else ""
        panic = text.find("panic: ")
        return first_lines(text[panic:] if panic >= 0 else text)

    def _read_junit(self) -> JunitFile | None:
        """None also where the tests were killed while they wrote it."""
        path = self._results / JUNIT
        try:
            return read_junit(path.read_bytes())
        except (FileNotFoundError, HostError):
            return None

    def _take_junit(self) -> JunitFile | None:
        """Of the dry run; the file that the tests leave has the same name."""
        report = self._read_junit()
        (self._results / JUNIT).unlink(missing_ok=True)
        return report
