"""The examples for Jenkins: Job Builder takes them, and `iecpod` understands every line that they run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import pytest

from iecpod.cli.main import cli
from tests.unit.descriptors.broken_pod import ROOT

EXAMPLES = ROOT / "examples" / "jenkins"
JOBS = [f"iecpod-{verb}-arm-{pod}" for pod in ("virtual1", "virtual2") for verb in ("deploy", "destroy", "redeploy")]
PARAMETERS = {"LAB": "arm", "POD": "virtual2", "SCENARIO": "k8-calico-iec-noha", "CI_DEBUG": "false"}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ElementTree.Element]:
    """Each job's configuration as Jenkins gets it."""
    pytest.importorskip("jenkins_jobs", reason="jenkins-job-builder is in the extra `test`")
    output = tmp_path_factory.mktemp("jobs")
    command = [sys.executable, "-m", "jenkins_jobs", "test", str(EXAMPLES), "--config-xml", "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.parent.name: ElementTree.parse(path).getroot() for path in output.glob("*/config.xml")}


def text_of(job: ElementTree.Element, path: str) -> str:
    return job.findtext(f".//{path}") or ""


def test_there_are_three_jobs_a_pod(jobs: dict[str, ElementTree.Element]) -> None:
    assert sorted(jobs) == sorted(JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_one_at_a_time_on_each_agent(jobs: dict[str, ElementTree.Element], name: str) -> None:
    job = jobs[name]
    assert text_of(job, "assignedNode") == f"iecpod-arm-{name.rsplit('-', 1)[1]}"
    assert (text_of(job, "maxConcurrentPerNode"), text_of(job, "throttleEnabled")) == ("1", "true")
    assert text_of(job, "blockLevel") == "NODE"
    assert all(re.fullmatch(text_of(job, "blockingJobs"), other) for other in JOBS)


def test_only_redeploy_goes_by_the_clock(jobs: dict[str, ElementTree.Element]) -> None:
    schedules = {name: text_of(job, "hudson.triggers.TimerTrigger/spec") for name, job in jobs.items()}
    assert {name: spec for name, spec in schedules.items() if spec} == {
        "iecpod-redeploy-arm-virtual1": "0 1 * * 1,4",
        "iecpod-redeploy-arm-virtual2": "0 1 * * 2,5",
    }


@pytest.mark.parametrize("name", JOBS)
def test_parameters(jobs: dict[str, ElementTree.Element], name: str) -> None:
    found = {
        entry.findtext("name"): entry.findtext("defaultValue")
        for entry in jobs[name].iterfind(".//parameterDefinitions/*")
    }
    assert found == {**PARAMETERS, "POD": name.rsplit("-", 1)[1]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "iecpod-deploy-arm-virtual2",
            ["deploy {all} {files} -L {log}", "export env {all}"],
        ),
        (
            "iecpod-redeploy-arm-virtual2",
            ["redeploy {all} {files} -L {log}", "export env {all}"],
        ),
        ("iecpod-destroy-arm-virtual2", ["teardown -l arm -p virtual2 -S /home/jenkins/iecpod"]),
    ],
)
def test_the_lines_that_jobs_run(
    jobs: dict[str, ElementTree.Element], tmp_path: Path, name: str, expected: list[str]
) -> None:
    lines = run_script(tmp_path, text_of(jobs[name], "hudson.tasks.Shell/command"))
    target = f"-l arm -p virtual2 -s k8-calico-iec-noha -S /home/jenkins/iecpod -b file://{tmp_path}/ci"
    log = f"{tmp_path}/job.7.log.tar.gz"
    assert [" ".join(line) for line in lines][: len(expected)] == [
        text.format(all=target, log=log, files="--report report.json --junit junit.xml") for text in expected
    ]
    for line in lines:
        assert_understood(line)


def test_the_lines_of_the_jenkinsfile(tmp_path: Path) -> None:
    text = (EXAMPLES / "Jenkinsfile").read_text()
    scripts = [long or short for long, short in re.findall(r"\bsh (?:'''(.*?)'''|'(.*?)')", text, re.DOTALL)]
    lines = [line for script in scripts for line in run_script(tmp_path, textwrap.dedent(_iecpod_lines(script)))]
    assert [line[0] for line in lines] == ["validate", "redeploy", "export", "teardown"]
    for line in lines:
        assert_understood(line)


def _iecpod_lines(script: str) -> str:
    return "\n".join(line for line in script.splitlines() if "iecpod" in line)


def run_script(directory: Path, script: str) -> list[list[str]]:
    """What a job's shell gives to `iecpod`, which only writes it down."""
    record, program = directory / "record", directory / "iecpod"
    record.write_text("")
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "print(json.dumps(sys.argv[1:]), file=open(os.environ['RECORD'], 'a'))\n"
    )
    program.chmod(0o755)
    environment = {
        **PARAMETERS,
        "PATH": f"{directory}:/usr/bin:/bin",
        "HOME": "/home/jenkins",
        "WORKSPACE": str(directory),
        "JOB_NAME": "job",
        "BUILD_NUMBER": "7",
        "BUILD_TAG": "jenkins-job-7",
        "RECORD": str(record),
    }
    subprocess.run(["sh", "-euc", script], env=environment, cwd=directory, check=True, timeout=60)
    return [json.loads(line) for line in record.read_text().splitlines()]


def assert_understood(line: list[str]) -> None:
    """`make_context` raises for an option or argument that there is none of."""
    verb, *arguments = line
    command = cli.commands[verb]
    assert isinstance(command, click.Command)
    command.make_context(verb, arguments, help_option_names=["-h", "--help"])
