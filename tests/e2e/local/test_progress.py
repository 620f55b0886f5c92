"""What jobs read of the deploy that made the POD, and how a signal ends another one."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from xml.etree import ElementTree

from tests.e2e.command import HOSTNAMES, Iecpod, deploy_in_phase


def test_report_junit_and_events_agree(pod: Iecpod) -> None:
    report = json.loads((pod.root / "report.json").read_text())
    phases = report["phases"]
    nodes = {(phase["name"], node["node"]): node["seconds"] for phase in phases for node in phase["nodes"]}
    assert {("control-plane", "iec01"), ("workers", "iec02"), ("workers", "iec03")} <= nodes.keys()
    assert {("ready", hostname) for hostname in HOSTNAMES} <= nodes.keys()
    assert all(seconds > 0 for seconds in nodes.values())

    cases = ElementTree.parse(pod.root / "junit.xml").findall("testsuite/testcase")
    assert [case.attrib["name"] for case in cases if len(case.attrib["name"].split("[")) == 1] == [
        phase["name"] for phase in phases
    ]
    assert {f"{phase}[{node}]" for phase, node in nodes} <= {case.attrib["name"] for case in cases}
    assert all(case.find("failure") is None and case.find("skipped") is None for case in cases)

    events = [json.loads(line) for line in (pod.root / "events").read_text().splitlines()]
    assert {event["run_id"] for event in events} == {report["run_id"]}
    assert (events[0]["event"], events[-1]["event"], events[-1]["outcome"]) == ("run-started", "run-finished", "done")
    finished = {(event["phase"], event["node"]) for event in events if event["event"] == "node-finished"}
    assert finished == nodes.keys()


def test_a_signal_ends_a_deploy_at_once(pod: Iecpod, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with deploy_in_phase(pod, "reachable", log) as process:
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        assert process.wait(timeout=300) == 130, log.read_text()
        assert time.monotonic() - start < 40
    last = log.read_text().splitlines()[-1]
    assert last.startswith("iecpod: interrupted in phase ")
    assert last.endswith(" resumes, `iecpod teardown -l local -p virtual1` removes what is there")
