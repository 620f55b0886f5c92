"""Upstream's end-to-end tests as a pod of the cluster, whose nodes pull the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from iecpod.conformance.conformance_run import Place
from iecpod.conformance.e2e_pod import E2ePod
from iecpod.conformance.report import JUNIT
from iecpod.design.conformance import Selection, pod_environment
from iecpod.ports import ProgramEnd

_DRY_RUN_SECONDS = 600.0
#: Beyond the time for the tests, which Ginkgo itself watches over, to begin and to end.
_EXTRA_SECONDS = 180.0


class PodTests:
    """`E2eTests` of an image."""

    def __init__(self, pod: E2ePod, place: Place, version: str) -> None:
        self._pod = pod
        self._place = place
        self.version = version

    def prepare(self) -> None:
        self._place.clear()
        self._pod.prepare()

    def close(self) -> None:
        """Removes the pods, and what they needed."""
        self._pod.remove()

    def dry_run(self, selection: Selection) -> ProgramEnd:
        environment = pod_environment(selection, int(_DRY_RUN_SECONDS), dry_run=True)
        with self._place.dry_log.open("wb") as log:
            return self._execute("dry-run", environment, _DRY_RUN_SECONDS, log.write)

    def run(self, selection: Selection, seconds: int, look: Callable[[bytes], None]) -> ProgramEnd:
        with self._place.log.open("wb") as log:

            def keep(content: bytes) -> None:
                log.write(content)
                look(content)

            environment = pod_environment(selection, seconds, dry_run=False)
            return self._execute("e2e", environment, seconds + _EXTRA_SECONDS, keep)

    def _execute(
        self, pod: str, environment: Mapping[str, str], seconds: float, look: Callable[[bytes], object]
    ) -> ProgramEnd:
        def see(content: bytes) -> None:
            look(content)

        end = self._pod.run(pod, environment, seconds, see)
        if end is ProgramEnd.ENDED and (report := self._pod.read(pod, JUNIT)):
            self._place.junit.write_bytes(report)
        return end
