"""Upstream's end-to-end tests as a program of this host, in the POD's network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iecpod.conformance.conformance_run import Place
from iecpod.design.conformance import E2eCall, Selection, registries
from iecpod.errors import HostError
from iecpod.pods.resolve import PodInputs
from iecpod.ports import LongProgram, ProgramEnd, RunLongProgram
from iecpod.release.release import Release
from iecpod.yaml.document import dump_yaml

_SHORT_SECONDS = 600.0
#: Beyond the time for the tests, which Ginkgo itself watches over, to begin and to end.
_EXTRA_SECONDS = 120.0
#: For a test that is interrupted, and its steps of cleaning up.
_GRACE_SECONDS = 60.0


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

    @property
    def run(self) -> RunLongProgram: ...


class HostTests:
    """`E2eTests` that were compiled here."""

    def __init__(
        self, inputs: PodInputs, bench: Bench, place: Place, kubeconfig: Path, command_prefix: tuple[str, ...]
    ) -> None:
        """Compiles what is not cached. Raises `ImageError`."""
        self._release = inputs.order.release
        self._bench = bench
        self._place = place
        self._prefix = command_prefix
        self._programs = bench.programs(inputs.order.release)
        self._call = E2eCall(
            program=self._programs.tests,
            kubectl=place.directory / "kubectl",
            kubeconfig=kubeconfig,
            arch=inputs.order.spec.pdf.nodes[0].arch,
            results=place.results,
        )

    @property
    def version(self) -> str:
        return self._programs.version

    def dry_run(self, selection: Selection) -> ProgramEnd:
        return self._execute(self._call.dry_argv(selection), self._place.dry_log, _SHORT_SECONDS)

    def run(self, selection: Selection, seconds: int, look: Callable[[bytes], None]) -> ProgramEnd:
        argv = [*self._prefix, *self._call.argv(selection, seconds)]
        return self._execute(argv, self._place.log, seconds + _EXTRA_SECONDS, look)

    def prepare(self, test_images: Mapping[str, Sequence[str]]) -> None:
        """Leaves what the tests need in the run's place.

        Raises `HostError` where they ask for images of these names by other tags.
        """
        self._place.clear()
        (self._place.directory / "tmp").mkdir()
        # The binary of Kubernetes runs the program that it is called as.
        self._call.kubectl.symlink_to(self._programs.kubectl)
        repository = self._release.image_repository
        (self._place.directory / "repositories.yaml").write_text(dump_yaml(registries(repository)))
        asked = self._asked_images({f"{repository}/{name}" for name in test_images})
        known = {f"{repository}/{name}:{tag}" for name in test_images for tag in test_images[name]}
        if unknown := sorted(asked - known):
            raise HostError(
                f"upstream's tests of Kubernetes {self.version} ask for {', '.join(unknown)}, and release "
                f"{self._release.name} has other tags",
                "correct test_images of the release",
            )

    def _asked_images(self, names: set[str]) -> set[str]:
        log = self._place.directory / "images.log"
        if self._execute(self._call.images_argv(), log, _SHORT_SECONDS) is ProgramEnd.INTERRUPTED:
            raise KeyboardInterrupt
        lines = log.read_text(errors="replace").splitlines()
        asked = {line.strip() for line in lines if line.partition(":")[0] in names}
        if not asked:
            raise HostError(f"upstream's tests name no images; they say: {' '.join(lines)[:500]}")
        return asked

    def _execute(
        self, argv: Sequence[str], log: Path, seconds: float, look: Callable[[bytes], None] = lambda _output: None
    ) -> ProgramEnd:
        temporary = str(self._place.directory / "tmp")
        environment = {
            "HOME": temporary,
            "KUBE_TEST_REPO_LIST": str(self._place.directory / "repositories.yaml"),
            "TMPDIR": temporary,
        }
        program = LongProgram(
            argv=argv,
            environment=environment,
            directory=self._place.directory,
            log_path=log,
            seconds=seconds,
            grace_seconds=_GRACE_SECONDS,
        )
        return self._bench.run(program, look)
