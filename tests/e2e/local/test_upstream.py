"""Upstream's own tests find the cluster to be one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from iecpod.design.conformance import QUICK
from tests.e2e.command import Iecpod


def unlabelled(name: str | None) -> str:
    """Upstream's tests have labels such as [Conformance] at the end of their names."""
    return re.sub(r"(?: \[[A-Za-z]+\])+$", "", name or "")


@pytest.fixture(scope="module")
def results(pod: Iecpod, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run of the quick tests, with what it printed beside them."""
    directory = tmp_path_factory.mktemp("conformance")
    done = pod.run("conformance", "--quick", "-o", "json", "--output", str(directory), timeout=7200)
    (directory / "report.json").write_text(done.stdout)
    (directory / "progress").write_text(done.stderr)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return directory


def test_all_of_them_passed(results: Path) -> None:
    report = json.loads((results / "report.json").read_text())
    assert (report["selection"], report["outcome"]) == ("quick", "passed")
    assert {unlabelled(test["name"]): test["outcome"] for test in report["tests"]} == dict.fromkeys(QUICK, "passed")


def test_progress_names_each_as_it_begins_and_ends(results: Path) -> None:
    progress = (results / "progress").read_text()
    names = [test["name"] for test in json.loads((results / "report.json").read_text())["tests"]]
    assert len(names) == len(QUICK)
    assert all(f"phase {name}: " in progress and f"done: {name}, " in progress for name in names)


def test_the_files_of_sonobuoy_are_there(results: Path) -> None:
    for place in (results, results / "plugins/e2e/results/global"):
        assert "SUCCESS! -- 16 Passed | 0 Failed" in (place / "e2e.log").read_text()
        cases = ElementTree.parse(place / "junit_01.xml").getroot().iter("testcase")
        passed = {case.get("name") for case in cases if case.get("status") == "passed"}
        assert {f"[It] {name}" for name in QUICK} <= {unlabelled(name) for name in passed}


def test_nothing_stays_in_the_cluster(pod: Iecpod, results: Path) -> None:
    assert pod.get("namespaces", "--selector=e2e-run")["items"] == []


def test_what_was_started_when_the_time_was_up_is_removed(pod: Iecpod, results: Path) -> None:
    """A job of four pods, each of which has to be restarted, takes longer."""
    done = pod.run("conformance", "--focus", "should run a job to completion when tasks sometimes", "--timeout", "20s")
    assert done.returncode == 5, done.stderr
    assert pod.get("namespaces", "--selector=e2e-run")["items"] == []
