"""What jobs read of a run: its report as JSON and JUnit's XML, whichever way the run ended."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from iecpod.errors import DescriptorError, HostError, UsageError
from iecpod.model import PodRef
from iecpod.options.choices import ProviderName
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.providers.phase_names import PHASE_NAMES
from iecpod.reports.job_files import RunOutputs, saved_reports
from iecpod.reports.run_report import Report
from iecpod.results import Failure, NodeResult, PhaseResult
from tests.unit.command_line import run

REF = PodRef("local", "virtual1")
PHASES = (*PHASE_NAMES[ProviderName.LIBVIRT], *CLUSTER_PHASES)
FAILURE = Failure("iec02: SSH: not within 10 s", "go on", "console of iec02, its last lines:\n    pa\x1bnic <0>")
REPORT = Report(
    pod="local/virtual1",
    run_id="0123456789ab",
    virt_type="qemu",
    outcome="failed",
    phases=(
        PhaseResult("image", "in place", 0.5, "sha256:0"),
        PhaseResult(
            "reachable",
            "failed",
            20.0,
            FAILURE.cause,
            (NodeResult("iec01", "done", 7.25), NodeResult("iec02", "failed", 19.9, FAILURE)),
            FAILURE,
        ),
    ),
    known_phases=PHASES,
)
JUNIT = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="iecpod deploy" tests="16" failures="2" errors="0" skipped="12" time="20.500">
  <testsuite name="local/virtual1" tests="16" failures="2" errors="0" skipped="12" time="20.500">
    <testcase classname="local.virtual1" name="image" time="0.500">
      <system-out>in place: sha256:0</system-out>
    </testcase>
    <testcase classname="local.virtual1" name="reachable" time="20.000">
      <failure message="iec02: SSH: not within 10 s" type="failed">iec02: SSH: not within 10 s
console of iec02, its last lines:
    pa\\x1bnic &lt;0&gt;
remedy: go on</failure>
    </testcase>
    <testcase classname="local.virtual1" name="reachable[iec01]" time="7.250">
      <system-out>done</system-out>
    </testcase>
    <testcase classname="local.virtual1" name="reachable[iec02]" time="19.900">
"""


def test_junit_has_a_case_a_phase_and_node_and_skips_what_was_not_reached() -> None:
    text = REPORT.to_junit()
    assert text.startswith(JUNIT)
    cases = list(ElementTree.fromstring(text).iter("testcase"))
    skipped = [case.attrib["name"] for case in cases if case.find("skipped") is not None]
    assert skipped == [name for name in PHASES if name not in ("image", "reachable")]


def test_the_report_knows_the_times_of_nodes() -> None:
    reachable = json.loads(REPORT.to_json())["phases"][1]
    assert [(node["node"], node["outcome"], node["seconds"]) for node in reachable["nodes"]] == [
        ("iec01", "done", 7.25),
        ("iec02", "failed", 19.9),
    ]
    assert reachable["failure"]["remedy"] == "go on"


def test_no_sentence_of_a_report_escapes_rewriting() -> None:
    shown = REPORT.rewritten(lambda text: text.replace("SSH", "(secret)").replace("lines", "(secret)"))
    for text in (shown.to_json(), shown.to_junit(), shown.to_text()):
        assert "SSH" not in text and "lines" not in text


def test_reports_are_saved_in_one_step(tmp_path: Path) -> None:
    outputs = RunOutputs(report=tmp_path / "report.json", junit=tmp_path / "junit.xml")
    with saved_reports(outputs, REF, "id") as save:
        save(REPORT)
    assert (tmp_path / "report.json").read_text() == REPORT.to_json()
    assert (tmp_path / "junit.xml").read_text() == REPORT.to_junit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.json"]


@pytest.mark.parametrize("error", [HostError("libvirtd is away", "start it"), KeyboardInterrupt("SIGTERM")])
def test_a_run_that_ends_before_its_phases_leaves_a_report(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), saved_reports(RunOutputs(junit=tmp_path / "junit.xml"), REF, "id"):
        raise error
    (failed, *skipped) = ElementTree.parse(tmp_path / "junit.xml").iter("testcase")
    assert failed.attrib["name"] == "preflight" and failed.find("failure") is not None
    assert [case.attrib["name"] for case in skipped] == list(CLUSTER_PHASES)


def test_the_report_of_a_failed_phase_is_not_replaced(tmp_path: Path) -> None:
    outputs = RunOutputs(junit=tmp_path / "junit.xml")
    with pytest.raises(HostError), saved_reports(outputs, REF, "id") as save:
        save(REPORT)
        raise HostError("no")
    assert (tmp_path / "junit.xml").read_text() == REPORT.to_junit()


@pytest.mark.parametrize("name", ["missing/junit.xml", "."])
def test_a_file_that_cannot_be_written_is_reported_before_anything_is_done(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(UsageError, match=r"--junit: .* cannot be written"),
        saved_reports(RunOutputs(junit=tmp_path / name), REF, "id"),
    ):
        raise AssertionError("started")


def test_a_deploy_that_is_refused_reports_why_to_jobs(tmp_path: Path) -> None:
    outputs = ("--junit", "junit.xml", "--report", "report.json", "--events", "events")
    result = run(tmp_path, "deploy", "-b", ".", "-l", "lab", "-p", "missing", *outputs)
    assert isinstance(result.exception, DescriptorError)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    report = json.loads((tmp_path / "report.json").read_text())
    assert [event["event"] for event in events] == ["run-started", "run-finished"]
    assert {event["run_id"] for event in events} == {report["run_id"]}
    assert events[-1]["cause"] == report["phases"][0]["failure"]["cause"] == str(result.exception)
    (failure,) = ElementTree.parse(tmp_path / "junit.xml").iter("failure")
    for text in (events[-1]["evidence"], failure.text or ""):
        assert "labs/lab/missing.yaml: error: " in text and "[descriptor-missing]" in text


def test_events_of_a_teardown_by_environment(tmp_path: Path) -> None:
    environ = {"IECPOD_EVENTS": str(tmp_path / "events")}
    result = run(tmp_path, "teardown", "-l", "local", "-p", "virtual1", env=environ)
    assert (result.exit_code, result.stdout) == (0, "nothing to remove\n")
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [(event["event"], event["verb"]) for event in events] == [
        ("run-started", "teardown"),
        ("run-finished", "teardown"),
    ]
