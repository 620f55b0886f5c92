"""`iecpod conformance` of releases whose nodes pull upstream's image: the tests are a pod of the cluster."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from iecpod.commands.conformance import run_conformance
from iecpod.design.conformance import focused_selection, image_of_tests, pod_environment
from iecpod.errors import CommandFailed, Interrupted, UsageError, WaitTimeout
from iecpod.layout import Layout
from iecpod.pods.resolve import PodInputs
from iecpod.ports import CommandResult
from iecpod.yaml.document import load_yaml_all
from tests.fakes import FakeClock, FakeShell
from tests.unit.commands.test_commands import FakeTools, layout, resolve, tools  # noqa: F401
from tests.unit.conformance.test_conformance import KUBECTL, NAMESPACES, FakeBench, deleted, order
from tests.unit.conformance.test_ginkgo import DNS, DNS_SERVICES, PODS, PODS_TWICE, RECORDED

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


@pytest.fixture
def inputs(layout: Layout) -> PodInputs:  # noqa: F811
    return resolve(layout, release="k8s-1.37", scenario="k8-calico-iec-noha")


@pytest.fixture
def pod(tools: FakeTools) -> FakeTools:  # noqa: F811
    tools.pod_dir.mkdir()
    tools.kubeconfig_path.write_text("")
    return tools


def with_pods(pod: FakeTools, **options: Any) -> FakePods:
    pods = FakePods(pod.clock, **options)
    pod.node_shells["iec01"] = pods.shell
    return pods


def test_a_run(inputs: PodInputs, pod: FakeTools) -> None:
    pods, bench = with_pods(pod), FakeBench("run")
    report = run_conformance(inputs, pod, bench, order())
    outcomes = {test.name: test.outcome for test in report.tests}
    assert outcomes == {DNS: "passed", DNS_SERVICES: "failed", PODS: "skipped", PODS_TWICE: "passed"}
    assert report.version == inputs.order.release.kubernetes_version
    assert bench.compiled == [] and bench.calls == []
    assert (pod.pod_dir / "conformance/e2e.log").read_bytes() == pods.logs["e2e"]
    assert [line for line in pod.reporter.lines if line.startswith(("start", "done", "failed"))] == [
        *(f"start {DNS}", f"done {DNS}", f"start {PODS}", f"start {PODS_TWICE}", f"done {PODS_TWICE}"),
        *(f"start {DNS_SERVICES}", f"failed {DNS_SERVICES}"),
    ]
    assert deleted(pods.shell) == [
        "--raw=/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/iecpod-conformance",
        f"--raw=/api/v1/namespaces/{NAMESPACE}",
    ]


def test_what_is_applied(inputs: PodInputs, pod: FakeTools) -> None:
    pods = with_pods(pod)
    run_conformance(inputs, pod, FakeBench("run"), order())
    kinds = [seen["kind"] for seen in pods.applied]
    assert kinds == ["Namespace", "ServiceAccount", "ClusterRoleBinding", "Pod", "Pod"]
    # Whatever removes the namespaces of tests removes it, too.
    assert pods.applied[0]["metadata"] == {"name": NAMESPACE, "labels": {"e2e-run": "iecpod"}}
    images = [container["image"] for container in pods.applied[-1]["spec"]["containers"]]
    version = inputs.order.release.kubernetes_version
    assert images == [f"registry.k8s.io/conformance:v{version}", inputs.order.release.nginx_image]
    assert pods.environment("dry-run")["E2E_DRYRUN"] == "true" and "E2E_DRYRUN" not in pods.environment("e2e")
    assert pods.environment("e2e")["E2E_EXTRA_GINKGO_ARGS"] == "--v --timeout=3600s --grace-period=20s"


def test_no_variable_is_made_of_a_regular_expression() -> None:
    environment = pod_environment(focused_selection(r"(DNS|a$(b))$", "x"), 60, dry_run=False)
    assert (environment["E2E_FOCUS"], environment["E2E_SKIP"]) == (r"(DNS|a$$(b))$$", "x")


def test_an_image_that_cannot_be_pulled(inputs: PodInputs, pod: FakeTools) -> None:
    pods = with_pods(pod)
    pods.waiting = "ErrImagePull"
    with pytest.raises(WaitTimeout) as caught:
        run_conformance(inputs, pod, FakeBench("run"), order())
    assert "ErrImagePull registry.k8s.io/conformance" in caught.value.last_seen
    assert f"--raw=/api/v1/namespaces/{NAMESPACE}" in deleted(pods.shell)


def test_time_that_is_up(inputs: PodInputs, pod: FakeTools) -> None:
    with_pods(pod, recorded="timed-out")
    report = run_conformance(inputs, pod, FakeBench(""), order())
    assert report.outcome == "timed out" and report.suite_failures == ()


def test_tests_that_do_not_end(inputs: PodInputs, pod: FakeTools) -> None:
    pods = with_pods(pod)
    pods.half_seconds = {"dry-run": 1.0, "e2e": 3000.0}
    report = run_conformance(inputs, pod, FakeBench(""), order())
    assert report.outcome == "timed out" and 3600 < report.seconds < 4000
    assert report.suite_failures[0].name == "the tests left no report"


def test_a_signal(inputs: PodInputs, pod: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    pods = with_pods(pod)
    sleep = pod.clock.sleep

    def interrupted(seconds: float) -> None:
        sleep(seconds)
        if "e2e" in pods.started and pod.clock.now() - pods.started["e2e"] > 90:
            raise KeyboardInterrupt

    monkeypatch.setattr(pod.clock, "sleep", interrupted)
    with pytest.raises(Interrupted):
        run_conformance(inputs, pod, FakeBench(""), order())
    assert f"--raw=/api/v1/namespaces/{NAMESPACE}" in deleted(pods.shell)


def test_a_cluster_that_does_not_answer_at_once_is_waited_for(inputs: PodInputs, pod: FakeTools) -> None:
    pods = with_pods(pod)
    answer = pods._exec
    refused = iter([CommandFailed("iec01", ["kubectl"], 1, "connection refused")] * 3)

    def sometimes(argv: Sequence[str], stdin: bytes) -> CommandResult:
        error = next(refused, None)
        if error is not None:
            raise error
        return answer(argv, stdin)

    pods.shell.replace((*KUBECTL, "exec"), sometimes)
    assert len(run_conformance(inputs, pod, FakeBench(""), order()).tests) == 4


def test_what_cannot_be_removed_costs_no_results(inputs: PodInputs, pod: FakeTools) -> None:
    pods = with_pods(pod)
    pods.shell.replace((*KUBECTL, "delete"), CommandFailed("iec01", ["kubectl"], 1, "connection refused"))
    assert len(run_conformance(inputs, pod, FakeBench(""), order()).tests) == 4
    assert pod.reporter.lines[-1].startswith(f"warning: namespace {NAMESPACE} and iecpod-conformance could not be")


def test_a_regular_expression_that_is_none(inputs: PodInputs, pod: FakeTools) -> None:
    pods = with_pods(pod)
    pods.logs["dry-run"] = b"panic: regexp: Compile(`(`): error parsing regexp: missing closing )\n"
    pods.reports["dry-run"] = b""
    with pytest.raises(UsageError) as caught:
        run_conformance(inputs, pod, FakeBench(""), order(focused_selection("(")))
    assert "missing closing )" in caught.value.cause
    assert f"--raw=/api/v1/namespaces/{NAMESPACE}" in deleted(pods.shell)


def test_which_releases_have_an_image(layout: Layout) -> None:  # noqa: F811
    assert image_of_tests(resolve(layout, release="k8s-1.37-go").order.release) == ""
    assert image_of_tests(resolve(layout, release="iec-r1", scenario="k8-calico-iec-noha").order.release) == ""
