"""Upstream's image of its end-to-end tests in a pod of the cluster: started, followed, and read."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from iecpod.conformance.e2e_objects import LABEL
from iecpod.deploy.kubectl.kubectl import Kubectl, api_awaited
from iecpod.deploy.kubectl.pod_status import pod_state
from iecpod.errors import IecpodError
from iecpod.outside_json import Json
from iecpod.ports import Clock, ProgramEnd, Reporter
from iecpod.render.conformance_pod import (
    BINDING,
    READER,
    RESULTS,
    TESTS,
    render_conformance_namespace,
    render_conformance_pod,
)
from iecpod.wait import NotYet, poll

T = TypeVar("T")

LOG = "e2e.log"
_BINDING_PATH = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{BINDING}"

#: The image has some hundred megabytes.
_START_SECONDS = 1200.0
#: An API server that is busy with the tests.
_ANSWER_SECONDS = 300.0
_LOOK_SECONDS = 5.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class E2ePod:
    """`image` runs the tests, and `reader_image`, of Debian, reads what they write."""

    kubectl: Kubectl
    clock: Clock
    reporter: Reporter
    namespace: str
    image: str
    reader_image: str

    def prepare(self) -> None:
        self.kubectl.apply(render_conformance_namespace(self.namespace, LABEL))

    def remove(self) -> None:
        """All that `prepare` and `run` have made; what cannot be removed is a warning."""
        try:
            self.kubectl.discard(_BINDING_PATH)
            self.kubectl.discard(f"/api/v1/namespaces/{self.namespace}")
        except IecpodError as error:
            self.reporter.warn(f"namespace {self.namespace} and {BINDING} could not be removed: {error.cause}")

    def run(
        self, pod: str, environment: Mapping[str, str], seconds: float, look: Callable[[bytes], None]
    ) -> ProgramEnd:
        """Raises `WaitTimeout` where the pod does not start, or the cluster does not answer any more."""
        try:
            self.kubectl.apply(render_conformance_pod(self.namespace, pod, self.image, self.reader_image, environment))
            self.reporter.progress(f"waiting for a pod of {self.image}")
            poll(
                f"the pod {pod} of the tests to start",
                lambda: self._check_started(pod),
                timeout_seconds=_START_SECONDS,
                clock=self.clock,
                interval_seconds=_LOOK_SECONDS,
                remedy="check that the nodes can pull its image",
            )
            return self._follow(pod, self.clock.now() + seconds, look)
        except KeyboardInterrupt:
            return ProgramEnd.INTERRUPTED

    def read(self, pod: str, file: str) -> bytes:
        """A file of the results, empty where it is not there."""
        content = b""
        while chunk := self._read(pod, file, len(content)):
            content += chunk
        return content

    def _follow(self, pod: str, deadline: float, look: Callable[[bytes], None]) -> ProgramEnd:
        offset = 0
        while True:
            has_ended = self._has_ended(pod)  # asked first: what was written until then is read below
            chunk = self._read(pod, LOG, offset)
            look(chunk)
            offset += len(chunk)
            if has_ended and not chunk:
                return ProgramEnd.ENDED
            if self.clock.now() > deadline:
                return ProgramEnd.TIMED_OUT
            if len(chunk) < _CHUNK_BYTES and not has_ended:
                self.clock.sleep(_LOOK_SECONDS)

    def _check_started(self, pod: str) -> None:
        with api_awaited():
            seen = self._load(pod)
        states = _states(seen)
        running = states.keys() >= {TESTS, READER} and states[READER] == "running" and states[TESTS] != "waiting"
        if not running:
            raise NotYet(pod_state(seen))

    def _has_ended(self, pod: str) -> bool:
        return _states(self._answered(lambda: self._load(pod))).get(TESTS) == "terminated"

    def _load(self, pod: str) -> Json:
        return self.kubectl.load(f"/api/v1/namespaces/{self.namespace}/pods/{pod}")

    def _read(self, pod: str, file: str, offset: int) -> bytes:
        path = shlex.quote(f"{RESULTS}/{file}")
        # In base64, since a chunk may end within a character.
        script = f"tail -c +{offset + 1} {path} 2>/dev/null | head -c {_CHUNK_BYTES} | base64 -w 0"
        argv = ("exec", f"--namespace={self.namespace}", pod, f"--container={READER}", "--", "sh", "-c", script)
        return base64.b64decode(self._answered(lambda: self.kubectl.run(*argv)).stdout)

    def _answered(self, ask: Callable[[], T]) -> T:
        def probe() -> T:
            with api_awaited():
                return ask()

        return poll("the cluster to answer", probe, timeout_seconds=_ANSWER_SECONDS, clock=self.clock)


def _states(pod: Json) -> dict[str, str]:
    """Of its containers, by name: `waiting`, `running` or `terminated`; empty where it has none yet."""
    states = {}
    for entry in pod.at("status").entries("containerStatuses"):
        state = entry.get("state")
        states[entry.text("name")] = next(iter(state.members()), "") if state else ""
    return states
