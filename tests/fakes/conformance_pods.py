"""Upstream's end-to-end tests as a pod of the cluster, by what they printed and reported once."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from iecpod.ports import CommandResult
from iecpod.yaml.document import load_yaml_all
from tests.fakes.clock import FakeClock
from tests.fakes.conformance_bench import KUBECTL, NAMESPACES, RECORDED
from tests.fakes.shell import FakeShell

NAMESPACE = "iecpod-conformance-0123456789ab"
_EXEC = re.compile(r"tail -c \+([0-9]+) /tmp/results/(\S+) 2>/dev/null \| head -c [0-9]+ \| base64 -w 0")


class FakePods:
    """The API server's answers: a pod's log comes in two halves, which take `half_seconds` each."""

    def __init__(self, clock: FakeClock, recorded: str = "run") -> None:
        self.clock = clock
        self.logs = {"dry-run": b"dry\n", "e2e": (RECORDED / f"{recorded}.log").read_bytes()}
        self.reports = {"dry-run": (RECORDED / "dry-run.xml").read_bytes()}
        self.reports["e2e"] = (RECORDED / f"{recorded}.xml").read_bytes()
        self.half_seconds = {"dry-run": 60.0, "e2e": 60.0}
        self.started: dict[str, float] = {}
        self.applied: list[Any] = []
        self.waiting = ""
        self.shell = FakeShell("iec01")
        self.shell.reply((*KUBECTL, "apply"), self._apply)
        self.shell.reply((*KUBECTL, "exec"), self._exec)
        self.shell.reply((*KUBECTL, "get"), self._get)
        self.shell.on(*KUBECTL, "get", NAMESPACES, stdout='{"items": []}')
        self.shell.on(*KUBECTL, "delete")

    def environment(self, pod: str) -> dict[str, str]:
        (found,) = (seen for seen in self.applied if seen["kind"] == "Pod" and seen["metadata"]["name"] == pod)
        return {entry["name"]: entry["value"] for entry in found["spec"]["containers"][0]["env"]}

    def _apply(self, _argv: Sequence[str], stdin: bytes) -> CommandResult:
        documents: list[Any] = [document.data for document in load_yaml_all(stdin, "applied")]
        self.applied += documents
        self.started |= {seen["metadata"]["name"]: self.clock.now() for seen in documents if seen["kind"] == "Pod"}
        return CommandResult(0, "", "")

    def _halves(self, pod: str) -> int:
        return min(2, int((self.clock.now() - self.started[pod]) / self.half_seconds[pod]))

    def _get(self, argv: Sequence[str], _stdin: bytes) -> CommandResult:
        name = argv[-1].rpartition("/")[2]
        assert argv[-1] == f"--raw=/api/v1/namespaces/{NAMESPACE}/pods/{name}"
        state: dict[str, dict[str, object]] = (
            {"terminated": {"exitCode": 1}} if self._halves(name) == 2 else {"running": {}}
        )
        if self.waiting:
            state = {"waiting": {"reason": self.waiting}}
        states = {"tests": state, "reader": {"running": {}}}
        image = "registry.k8s.io/conformance"
        statuses = [{"name": key, "state": value, "ready": False, "image": image} for key, value in states.items()]
        pod = {"metadata": {"name": name}, "status": {"phase": "Running", "containerStatuses": statuses}}
        return CommandResult(0, json.dumps(pod), "")

    def _exec(self, argv: Sequence[str], _stdin: bytes) -> CommandResult:
        match = _EXEC.fullmatch(argv[-1])
        assert match is not None and argv[3] == f"--namespace={NAMESPACE}"
        pod, start = argv[4], int(match[1]) - 1
        halves = self._halves(pod)
        # A half ends within the three bytes of a mark.
        cut = self.logs[pod].find("•".encode()) + 1
        log = (b"", self.logs[pod][:cut], self.logs[pod])[halves]
        content = log if match[2] == "e2e.log" else (self.reports.get(pod, b"") if halves == 2 else b"")
        return CommandResult(0, base64.b64encode(content[start:]).decode(), "")
