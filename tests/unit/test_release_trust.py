"""What nothing vouches for is told before it is fetched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from iecpod.commands.plan import make_pod_plan
from iecpod.commands.recalled import Recalled
from iecpod.commands.request import PodRequest
from iecpod.commands.resolve import resolve_request
from iecpod.design.release import Release
from iecpod.design.release_file import load_release
from iecpod.design.release_trust import check_trust
from iecpod.design.supply import Supply, apply_supply
from iecpod.errors import Severity
from tests.unit.command_line import layout_below
from tests.unit.conftest import make_release
from tests.unit.test_commands import REF, FakeTools

ROOT = Path(__file__).parents[2]


def shipped(name: str) -> Release:
    return load_release(name, ROOT / "iecpod/releases", ROOT / "schemas")


@pytest.mark.parametrize("name", ["debian12", "k8s-1.36", "iec-r1"])
def test_shipped_releases_leave_no_key_open(name: str) -> None:
    assert [problem for problem in check_trust(shipped(name)) if problem.rule == "key-not-pinned"] == []


def test_a_key_that_nobody_names_is_told() -> None:
    release = shipped("k8s-1.36")
    kubernetes, docker = release.repositories
    open_one = dataclasses.replace(release, repositories=(dataclasses.replace(kubernetes, key_fingerprint=()), docker))
    (problem,) = check_trust(open_one)
    assert (problem.rule, problem.severity) == ("key-not-pinned", Severity.WARNING)
    assert problem.message == (
        "nothing says which key signs the repository kubernetes: what "
        "https://pkgs.k8s.io/core:/stable:/v1.36/deb/Release.key gives is trusted"
    )
    given = apply_supply(open_one, Supply(repository_keys={"kubernetes": "/srv/key.asc"}))
    assert check_trust(given) == []
    assert check_trust(make_release()) == []


def warnings_of_plan(tmp_path: Path, text: str) -> list[str]:
    """What `plan` warns of with that release, each by its first line."""
    path, layout = tmp_path / "release.yaml", layout_below(tmp_path)
    path.write_text(text)
    request = PodRequest(ref=REF, base_uri=str(layout.pdf_dir), release=str(path), scenario="k8-bridge-iec-noha")
    tools = FakeTools(tmp_path, layout)
    assert make_pod_plan(resolve_request(request, layout, Recalled()), tools).problems == ()
    return [line.partition("\n")[0] for line in tools.reporter.lines if line.startswith("warning: ")]


def test_plan_warns_and_refuses_nothing(tmp_path: Path) -> None:
    lines = (ROOT / "iecpod/releases/k8s-1.36.yaml").read_text().splitlines(keepends=True)
    (told,) = warnings_of_plan(tmp_path, "".join(line for line in lines if "DE15B144" not in line))
    assert told.startswith("warning: warning: nothing says which key signs the repository kubernetes: ")
    assert told.endswith(" [key-not-pinned]")
