"""`iecpod conformance` on nodes that answer from a script and tests that were recorded."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from iecpod.commands.conformance import run_conformance
from iecpod.conformance.conformance_run import ConformanceOrder
from iecpod.conformance.ginkgo import FAILED, NOT_RUN, PASSED, SKIPPED, SpecResult
from iecpod.conformance.report import ConformanceReport, check_output
from iecpod.design.conformance import (
    QUICK,
    E2eCall,
    Selection,
    focused_selection,
    full_selection,
    quick_selection,
    registries,
)
from iecpod.errors import (
    CommandFailed,
    ExitCode,
    HostError,
    IecpodError,
    Interrupted,
    NodeUnreachable,
    PreflightError,
    UsageError,
)
from iecpod.layout import Layout
from iecpod.model import Arch
from iecpod.pods.resolve import PodInputs
from iecpod.ports import ProgramEnd
from iecpod.yaml.document import load_yaml
from tests.fakes import FakeShell
from tests.fakes.conformance_bench import IMAGES, KUBECTL, NAMESPACES, RECORDED, FakeBench
from tests.fakes.pod_tools import NODES, FakeTools
from tests.unit.command_line import run
from tests.unit.commands.test_commands import layout, resolve, tools  # noqa: F401
from tests.unit.conformance.test_ginkgo import DNS, DNS_SERVICES, PODS, PODS_TWICE

FOCUS = focused_selection("(DNS should provide|should be updated)")


def cluster_shell(images: Sequence[str] = IMAGES, namespaces: Sequence[Sequence[str]] = ((), ())) -> FakeShell:
    """The first node; the tests' namespaces are, one look after another, `namespaces`."""
    names = [{"names": [f"registry.iecpod.internal/{image}"], "sizeBytes": 1} for image in images]
    items = [{"metadata": {"name": node}, "status": {"images": names}} for node in NODES]
    shell = FakeShell("iec01").on(*KUBECTL, "get", "--raw=/api/v1/nodes", stdout=json.dumps({"items": items}))
    for found in namespaces:
        listed = {"items": [{"metadata": {"name": name}} for name in found]}
        shell.on(*KUBECTL, "get", NAMESPACES, stdout=json.dumps(listed))
    return shell.on(*KUBECTL, "delete")


@pytest.fixture
def inputs(layout: Layout) -> PodInputs:  # noqa: F811
    return resolve(layout, release="k8s-1.37-go")


@pytest.fixture
def pod(tools: FakeTools) -> FakeTools:  # noqa: F811
    """A POD with a cluster."""
    tools.pod_dir.mkdir()
    tools.kubeconfig_path.write_text("")
    tools.node_shells["iec01"] = cluster_shell()
    return tools


def order(selection: Selection = FOCUS, output: Path | None = None) -> ConformanceOrder:
    return ConformanceOrder(selection=selection, seconds=3600, output=output)


def deleted(shell: FakeShell) -> list[str]:
    return [call[-1] for call in shell.calls if call[: len(KUBECTL) + 1] == (*KUBECTL, "delete")]


def test_a_run(inputs: PodInputs, pod: FakeTools, tmp_path: Path) -> None:
    bench = FakeBench("run")
    report = run_conformance(inputs, pod, bench, order(output=tmp_path / "out/results"))
    assert {test.name: test.outcome for test in report.tests} == {
        DNS: PASSED,
        DNS_SERVICES: FAILED,
        PODS: SKIPPED,
        PODS_TWICE: PASSED,
    }
    assert (report.outcome, report.exit_code) == ("failed", ExitCode.FAILED)
    assert bench.compiled == ["k8s-1.37-go"]
    assert pod.reporter.lines == [
        *(f"start {DNS}", f"done {DNS}", f"start {PODS}", f"skipped {PODS}"),
        *(f"start {PODS_TWICE}", f"done {PODS_TWICE}", f"start {DNS_SERVICES}", f"failed {DNS_SERVICES}"),
    ]
    for place in (tmp_path / "out/results", tmp_path / "out/results/plugins/e2e/results/global"):
        assert (place / "e2e.log").read_bytes() == (RECORDED / "run.log").read_bytes()
        assert (place / "junit_01.xml").read_bytes() == (RECORDED / "run.xml").read_bytes()
    assert (pod.pod_dir / "conformance/e2e.log").is_file()


def test_how_the_tests_are_called(inputs: PodInputs, pod: FakeTools) -> None:
    bench = FakeBench("run")
    run_conformance(inputs, pod, bench, order())
    (images, _), (dry, _), (argv, environment) = bench.calls
    directory = pod.pod_dir / "conformance"
    base = [
        "/cache/e2e.test",
        "--provider=skeleton",
        f"--report-dir={directory}/results",
        f"--ginkgo.focus={FOCUS.focus}",
        "--ginkgo.no-color",
    ]
    assert images == ["/cache/e2e.test", "--provider=skeleton", "--list-images"]
    assert dry == [*base, "--ginkgo.dry-run"]
    assert argv == [
        *base,
        f"--kubeconfig={pod.kubeconfig_path}",
        f"--kubectl-path={directory}/kubectl",
        "--node-os-arch=amd64",
        f"--e2e-output-dir={directory}/results",
        "--disable-log-dump",
        "--ginkgo.v",
        "--ginkgo.timeout=3600s",
        "--ginkgo.grace-period=20s",
    ]
    assert (directory / "kubectl").readlink() == Path("/cache/kubernetes")
    repositories = load_yaml(Path(environment["KUBE_TEST_REPO_LIST"]).read_bytes(), "x").data
    assert repositories == registries("registry.iecpod.internal")
    assert environment["HOME"] == environment["TMPDIR"] == f"{directory}/tmp"
    # Ginkgo ends the tests itself; who waits for it waits longer.
    assert bench.seconds[-1] > 3600


def test_the_prefix_leads_into_the_network_of_the_pod(
    inputs: PodInputs, pod: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = ("nsenter", "--net=/run/netns/iecpod-local-virtual1")
    monkeypatch.setattr(type(pod.fake_host), "command_prefix", property(lambda _self: prefix))
    bench = FakeBench("run")
    run_conformance(inputs, pod, bench, order())
    assert tuple(bench.calls[-1][0][:3]) == (*prefix, "/cache/e2e.test")
    assert {call[0] for call, _ in bench.calls[:-1]} == {"/cache/e2e.test"}  # these ask no cluster


def test_what_earlier_runs_and_this_one_left_is_removed(inputs: PodInputs, pod: FakeTools) -> None:
    looks: tuple[list[str], ...] = (["dns-1"], [], ["pods-2", "svc-3"], ["svc-3"], [])
    pod.node_shells["iec01"] = shell = cluster_shell(namespaces=looks)
    run_conformance(inputs, pod, FakeBench("run"), order())
    assert deleted(shell) == [f"--raw=/api/v1/namespaces/{name}" for name in ("dns-1", "pods-2", "svc-3")]


def test_namespaces_that_stay_are_a_warning(inputs: PodInputs, pod: FakeTools) -> None:
    pod.node_shells["iec01"] = cluster_shell(namespaces=((), (), ("svc-3",)))
    report = run_conformance(inputs, pod, FakeBench("run"), order())
    assert report.outcome == FAILED
    assert pod.reporter.lines[-1] == "warning: namespaces of the tests are still being removed: svc-3"


@pytest.mark.parametrize(
    "error", [NodeUnreachable("iec01", "no answer"), CommandFailed("iec01", ["kubectl"], 1, "refused")]
)
def test_a_cluster_that_went_costs_no_results(inputs: PodInputs, pod: FakeTools, error: IecpodError) -> None:
    shell = cluster_shell(namespaces=((), ()))
    shell.reply((*KUBECTL, "get", NAMESPACES), error)
    pod.node_shells["iec01"] = shell
    assert len(run_conformance(inputs, pod, FakeBench("run"), order()).tests) == 4
    assert error.cause in pod.reporter.lines[-1] and "-l e2e-run" in pod.reporter.lines[-1]


def test_time_that_is_up(inputs: PodInputs, pod: FakeTools) -> None:
    report = run_conformance(inputs, pod, FakeBench("timed-out"), order())
    assert (report.outcome, report.exit_code) == ("timed out", ExitCode.TIMEOUT)
    killed = run_conformance(inputs, pod, FakeBench("", ProgramEnd.TIMED_OUT), order())
    assert (killed.outcome, killed.exit_code) == ("timed out", ExitCode.TIMEOUT)


def test_a_cluster_in_which_nothing_can_begin(inputs: PodInputs, pod: FakeTools) -> None:
    report = run_conformance(inputs, pod, FakeBench("broken"), order())
    assert {test.outcome for test in report.tests} == {NOT_RUN}
    assert report.exit_code is ExitCode.FAILED
    assert "coredns-1 iec02 Pending" in report.to_text()


def test_tests_that_left_no_report(inputs: PodInputs, pod: FakeTools, tmp_path: Path) -> None:
    report = run_conformance(inputs, pod, FakeBench(""), order(output=tmp_path / "out"))
    assert (report.outcome, report.suite_failures[0].text) == (FAILED, "nsenter: cannot open")
    suite = ElementTree.parse(tmp_path / "out/junit_01.xml").getroot()
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert cases[f"[It] {DNS}"].find("skipped") is not None
    assert (suite.get("failures"), suite.get("tests")) == ("1", "5")


def test_a_signal_ends_the_tests_and_removes_what_they_made(inputs: PodInputs, pod: FakeTools, tmp_path: Path) -> None:
    pod.node_shells["iec01"] = shell = cluster_shell(namespaces=((), (), ("svc-3",)))
    with pytest.raises(Interrupted) as caught:
        run_conformance(inputs, pod, FakeBench("timed-out", ProgramEnd.INTERRUPTED), order(output=tmp_path / "out"))
    assert "2 passed, 1 failed, 1 skipped, 0 not run" in caught.value.remedy
    assert deleted(shell) == ["--raw=/api/v1/namespaces/svc-3"]
    assert pod.clock.seconds == 0.0  # it does not wait for that
    assert (tmp_path / "out/e2e.log").is_file()


def test_a_regular_expression_that_is_none(inputs: PodInputs, pod: FakeTools) -> None:
    with pytest.raises(UsageError) as caught:
        run_conformance(inputs, pod, FakeBench("run", dry=""), order(focused_selection("(")))
    assert "missing closing )" in caught.value.cause and "'('" in caught.value.remedy


def test_tests_that_are_not_there(inputs: PodInputs, pod: FakeTools) -> None:
    with pytest.raises(HostError) as lacking:
        run_conformance(inputs, pod, FakeBench("run"), order(quick_selection()))
    assert f"lack: {QUICK[0]}; " in lacking.value.cause
    with pytest.raises(UsageError) as empty:
        run_conformance(inputs, pod, FakeBench("run", dry="broken"), order())
    assert "no test has a name like" in empty.value.cause


def test_images_that_a_node_lacks_are_named_before_anything_is_compiled(inputs: PodInputs, pod: FakeTools) -> None:
    pod.node_shells["iec01"] = cluster_shell(IMAGES[1:])
    bench = FakeBench("run")
    with pytest.raises(PreflightError) as caught:
        run_conformance(inputs, pod, bench, order())
    assert [problem.message for problem in caught.value.problems] == [
        f"node {node} has no image registry.iecpod.internal/agnhost:2.66.1" for node in NODES
    ]
    assert "iecpod redeploy -l local -p virtual1" in caught.value.problems[0].remedy
    assert bench.compiled == []


def test_a_pod_without_a_cluster(inputs: PodInputs, tools: FakeTools) -> None:  # noqa: F811
    with pytest.raises(UsageError) as caught:
        run_conformance(inputs, tools, FakeBench("run"), order())
    assert "no cluster" in caught.value.cause


@pytest.mark.parametrize("release", ["debian12", "iec-r1"])
def test_a_release_whose_tests_are_nowhere(layout: Layout, pod: FakeTools, release: str) -> None:  # noqa: F811
    scenario = "k8-bridge-iec-noha" if release == "debian12" else "k8-calico-iec-noha"
    with pytest.raises(UsageError) as caught:
        run_conformance(resolve(layout, release=release, scenario=scenario), pod, FakeBench("run"), order())
    assert f"tests of release {release} are neither compiled here nor an image" in caught.value.cause


def chosen(selection: Selection, names: Sequence[str]) -> set[str]:
    """As Ginkgo chooses; these expressions mean the same to Python."""
    texts = {name: f"Kubernetes e2e suite {name}" for name in names}
    return {
        name
        for name, text in texts.items()
        if re.search(selection.focus, text) and not (selection.skip and re.search(selection.skip, text))
    }


#: Tags have other places in 1.36 and 1.37.
@pytest.mark.parametrize("tags", [("", " [Conformance] [NodeConformance]"), (" [NodeConformance]", " [Conformance]")])
def test_quick_finds_its_tests_wherever_their_tags_are(tags: tuple[str, str]) -> None:
    selection = quick_selection()
    names = [name.replace(" should", f"{tags[0]} should", 1) + tags[1] for name in QUICK]
    others = [
        "[sig-storage] ConfigMap should be consumable from pods in volume as non-root [Conformance]",
        "[sig-network] DNS should provide DNS for the cluster [Provider:GCE]",
    ]
    found = chosen(selection, [*others, *names])
    assert others[0] in found and others[1] not in found
    picked = selection.choose(found)
    assert set(picked) == set(names) and selection.missing(found) == []
    assert chosen(selection.only(picked), [*others, *names]) == set(names)
    assert selection.missing(names[1:]) == [QUICK[0]]


def test_quick_has_tests_of_each_part() -> None:
    assert len(set(QUICK)) == len(QUICK) == 16
    assert {name.split()[0] for name in QUICK} == {"[sig-node]", "[sig-apps]", "[sig-network]", "[sig-storage]"}


def test_full_leaves_out_what_disrupts() -> None:
    disruptive = "[sig-node] NoExecuteTaintManager Single Pod removing taint [Conformance] [Disruptive] [Serial]"
    serial = "[sig-apps] Daemon set should rollback without unnecessary restarts [Conformance] [Serial]"
    plain = "[sig-network] DNS should work"
    assert chosen(full_selection(), [disruptive, serial, plain]) == {serial}
    assert chosen(focused_selection("DNS", "work"), [disruptive, plain]) == set()


def test_a_pod_of_another_architecture() -> None:
    call = E2eCall(
        program=Path("/e2e.test"),
        kubectl=Path("/kubectl"),
        kubeconfig=Path("/kubeconfig"),
        arch=Arch.AARCH64,
        results=Path("/results"),
    )
    argv = call.argv(focused_selection("DNS", "work"), 60)
    assert "--node-os-arch=arm64" in argv and "--ginkgo.skip=work" in argv


def test_no_image_of_a_test_is_looked_for_elsewhere() -> None:
    assert set(registries("r.example").values()) == {"r.example"}
    assert not {"invalidRegistry", "privateRegistry"} & registries("r.example").keys()


@pytest.mark.parametrize(
    ("images", "cause"),
    [
        (
            "registry.iecpod.internal/agnhost:2.67\nregistry.iecpod.internal/busybox:1.37.0-2\n",
            "ask for registry.iecpod.internal/agnhost:2.67, and",
        ),
        ("panic: no such flag\n", "name no images; they say: panic: no such flag"),
    ],
)
def test_tests_that_ask_for_other_images(inputs: PodInputs, pod: FakeTools, images: str, cause: str) -> None:
    bench = FakeBench("run")
    bench.images = images
    with pytest.raises(HostError) as caught:
        run_conformance(inputs, pod, bench, order())
    assert cause in caught.value.cause


REPORT = ConformanceReport(
    pod="local/virtual1",
    run_id="0123456789ab",
    version="1.37.2",
    selection="quick",
    focus="x",
    skip="",
    seconds=61.4,
    tests=(SpecResult(name=DNS, outcome=PASSED, seconds=12.34),),
    suite_failures=(),
    timed_out=False,
    directory="/pod/conformance",
)


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ({}, "passed", 0),
        ({"tests": (SpecResult(name=DNS, outcome=SKIPPED),)}, "passed", 0),
        ({"tests": (SpecResult(name=DNS, outcome=FAILED),)}, "failed", 1),
        ({"tests": (SpecResult(name=DNS, outcome=NOT_RUN),)}, "failed", 1),
        ({"suite_failures": (SpecResult(name="[AfterSuite]", outcome=FAILED),)}, "failed", 1),
        ({"tests": (SpecResult(name=DNS, outcome=FAILED),), "timed_out": True}, "timed out", 5),
    ],
)
def test_exit_codes(changes: dict[str, Any], outcome: str, code: int) -> None:
    report = dataclasses.replace(REPORT, **changes)
    assert (report.outcome, int(report.exit_code)) == (outcome, code)


def test_a_report_for_people_and_for_programs() -> None:
    failed = SpecResult(name=DNS_SERVICES, outcome=FAILED, seconds=300.0, text="[FAILED] no answer\nIn [It] at: dns.go")
    report = dataclasses.replace(REPORT, tests=(*REPORT.tests, failed, SpecResult(name=PODS, outcome=NOT_RUN)))
    assert report.to_text() == (
        "RESULT   SECONDS  TEST\n"
        f"passed   12.3     {DNS}\n"
        f"failed   300.0    {DNS_SERVICES}\n"
        f"not run  -        {PODS}\n"
        "\n"
        f"failed: {DNS_SERVICES}\n"
        "  [FAILED] no answer\n"
        "  In [It] at: dns.go\n"
        "\n"
        "Kubernetes 1.37.2, quick: 1 passed, 1 failed, 0 skipped, 1 not run in 61 s\n"
        "the log is /pod/conformance/e2e.log"
    )
    data = json.loads(report.to_json())
    assert (data["outcome"], data["tests"][1]["outcome"], data["tests"][0]["seconds"]) == ("failed", "failed", 12.34)


def test_where_results_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        check_output(tmp_path / "file")
    assert "--output" in caught.value.cause
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "plugins").symlink_to(elsewhere)
    with pytest.raises(UsageError):
        check_output(tmp_path)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quick", "--full"), "give one of them"),
        (("--full", "--focus", "DNS"), "give one of them"),
        (("--skip", "DNS"), "give that, too"),
        (("--timeout", "60"), "is not a duration"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(tmp_path, "conformance", "-l", "local", "-p", "virtual1", *arguments)
    assert result.exit_code == 2 and message in result.stderr


def test_the_command_refuses_a_pod_that_is_not_there(tmp_path: Path) -> None:
    result = run(tmp_path, "conformance", "-l", "local", "-p", "virtual1", "--release", "k8s-1.37-go")
    assert isinstance(result.exception, UsageError) and "no cluster" in result.exception.cause
