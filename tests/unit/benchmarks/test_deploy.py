"""benchmarks/deploy as a process, with a program in iecpod's place that deploys in no time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "deploy"

#: Writes what it was asked to `calls`; a phase takes as many seconds as its name has letters.
_IECPOD = """
import json, os, sys
from pathlib import Path

verb, arguments = sys.argv[1], sys.argv[2:]
with open("calls", "a") as calls:
    calls.write(" ".join([verb, *arguments[4:]]) + "\\n")
state = Path(os.environ["IECPOD_STATE_DIR"])
assert verb == "deploy" or (state / "deployed").exists()
if verb == "teardown" and os.environ["FAILING"] == "teardown":
    sys.exit(7)
print("the report of iecpod")
if verb == "deploy":
    (state / "deployed").touch()
    options = dict(zip(arguments[::2], arguments[1::2]))
    if options["--bundle-via"] == os.environ.get("FAILING") and options.get("--until") not in ("image", "reachable"):
        sys.exit(5)
    names = ["image", "networks", "domains", "reachable", "runtime", "verify"]
    until = options.get("--until", "verify")
    phases = [{"name": name, "seconds": len(name)} for name in names[: names.index(until) + 1]]
    Path(options["--report"]).write_text(json.dumps({"phases": phases}))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "iecpod").mkdir()
    (tmp_path / "iecpod" / "__main__.py").write_text(_IECPOD)
    return tmp_path


def run(directory: Path, *options: str, failing: str = "") -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(directory), "TMPDIR": str(directory), "FAILING": failing}
    argv = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True)


def calls(directory: Path) -> list[str]:
    lines = (directory / "calls").read_text().splitlines()
    return [" ".join(word for word in line.split() if not word.startswith(("/", "--report"))) for line in lines]


def test_each_way_is_measured_against_the_machines_alone(directory: Path) -> None:
    done = run(directory, "--until", "runtime", "--bundle", "lab.tar")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "seconds           machines alone           image            disk             ssh\n"
        "networks                     8.0             8.0             8.0             8.0\n"
        "domains                      7.0             7.0             7.0             7.0\n"
        "reachable                    9.0             9.0             9.0             9.0\n"
        "runtime                        -             7.0             7.0             7.0\n"
        "total                       24.0            31.0            31.0            31.0\n"
        "ratio                       1.00            1.29            1.29            1.29\n"
    )
    assert calls(directory) == [
        line
        for deployed in (
            "deploy --bundle-via disk --until image --bundle lab.tar",
            "deploy --bundle-via image --until image --bundle lab.tar",
            "deploy --bundle-via ssh --until reachable --bundle lab.tar",
            "deploy --bundle-via image --until runtime --bundle lab.tar",
            "deploy --bundle-via disk --until runtime --bundle lab.tar",
            "deploy --bundle-via ssh --until runtime --bundle lab.tar",
        )
        for line in (deployed, "teardown")
    ]
    assert not list(directory.glob("iecpod-benchmark-*"))


def test_one_that_fails_is_torn_down_and_the_others_are_measured(directory: Path) -> None:
    done = run(directory, "--bundle-via", "disk", "--bundle-via", "ssh", "--json", failing="disk")
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert list(summary) == ["machines alone", "disk", "ssh"]
    assert summary["disk"] == {"phases": None, "seconds": None, "ratio": None}
    assert (summary["ssh"]["seconds"], summary["ssh"]["ratio"]) == (37, 1.54)
    assert summary["ssh"]["phases"]["verify"] == 6
    assert "a deploy with --bundle-via disk exited with 5" in done.stderr
    made = calls(directory)
    assert made.count("teardown") == len(made) / 2


def test_a_pod_that_stays_ends_the_measurement(directory: Path) -> None:
    done = run(directory, failing="teardown")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("benchmark: the teardown exited with 7; nothing more is measured\n")
    assert len(calls(directory)) == 2


def test_a_peer_that_is_not_installed_is_skipped(directory: Path) -> None:
    done = run(directory, "--bundle-via", "disk", "--until", "runtime", "--peer", "kcli")
    assert done.returncode == 0, done.stderr
    assert "benchmark: kcli is skipped: kcli" in done.stderr
    assert done.stdout.splitlines()[0].split() == ["seconds", "machines", "alone", "disk"]
