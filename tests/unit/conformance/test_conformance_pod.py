"""`iecpod conformance` of releases whose nodes pull upstream's image: the tests are a pod of the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from iecpod.commands.conformance import run_conformance
from iecpod.design.conformance import focused_selection, image_of_tests, pod_environment
from iecpod.errors import CommandFailed, Interrupted, UsageError, WaitTimeout
from iecpod.layout import Layout
from iecpod.pods.resolve import PodInputs
from iecpod.ports import CommandResult
from tests.fakes.conformance_bench import KUBECTL, FakeBench
from tests.fakes.conformance_pods import NAMESPACE, FakePods
from tests.fakes.pod_tools import FakeTools
from tests.unit.commands.test_commands import layout, resolve, tools  # noqa: F401
from tests.unit.conformance.test_conformance import deleted, order
from tests.unit.conformance.test_ginkgo import DNS, DNS_SERVICES, PODS, PODS_TWICE


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
