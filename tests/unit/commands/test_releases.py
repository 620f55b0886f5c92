"""`iecpod releases`, as typed."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest

from iecpod.errors import DescriptorError, UsageError
from iecpod.model import PodRef
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.release.bump_review import Review
from iecpod.release.go_bump import Bump
from iecpod.wait import SystemClock
from iecpod.wiring.image_building import SoftwareMaking
from iecpod.yaml.document import load_yaml
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below, run

ROOT = Path(__file__).parents[3]


def test_list(tmp_path: Path) -> None:
    result = run(tmp_path, "releases", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["RELEASE", "debian12", "iec-r1", "k8s-1.37", "k8s-1.37-go"]
    cells = re.split("  +", lines[2])
    assert cells[1:4] == ["1.13.0", "docker", "calico, bridge"]
    assert cells[4:9] == ["2.12.3", "ubuntu1804, ubuntu1604", "x86_64, aarch64", "mirror", "2019-10-15"]
    assert "calico, calico-operator, flannel, bridge" in lines[3]


def test_list_as_json(tmp_path: Path) -> None:
    found = {facts["name"]: facts for facts in json.loads(run(tmp_path, "releases", "list", "--format", "json").stdout)}
    assert {name: facts["packages"] for name, facts in found.items()} == {
        "debian12": "bundle",
        "iec-r1": "mirror",
        "k8s-1.37": "internet",
        "k8s-1.37-go": "bundle",
    }
    assert {name: facts["supported_until"] for name, facts in found.items()} == {
        "debian12": "2022-02-28",
        "iec-r1": "2019-10-15",
        "k8s-1.37": "2027-10-28",
        "k8s-1.37-go": "2027-10-28",
    }
    assert found["iec-r1"]["base_os"] == ["ubuntu1804", "ubuntu1604"]
    assert found["debian12"]["architectures"] == ["x86_64", "aarch64"]


def test_list_has_the_helm_that_is_compiled(tmp_path: Path) -> None:
    found = {facts["name"]: facts for facts in json.loads(run(tmp_path, "releases", "list", "--format", "json").stdout)}
    go_mod = (ROOT / "iecpod/releases/modules/helm/go.mod").read_text()
    assert f"helm.sh/helm/v4 v{found['k8s-1.37-go']['helm']} //" in go_mod
    assert found["debian12"]["helm"] == ""


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize(
    ("day", "old"),
    [
        (datetime.date(2022, 2, 28), ["iec-r1"]),
        (datetime.date(2022, 3, 1), ["debian12", "iec-r1"]),
        (datetime.date(2027, 10, 29), ["debian12", "iec-r1", "k8s-1.37", "k8s-1.37-go"]),
    ],
)
def test_list_warns_of_releases_past_their_support(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, day: datetime.date, old: list[str]
) -> None:
    """On standard error: JSON stays JSON."""
    monkeypatch.setattr(SystemClock, "today", lambda _clock: day)
    result = run(tmp_path, "releases", "list", "--format", output)
    assert (
        re.findall(r"(?m)^warning: release (\S+) is past its support: .* \[release-unsupported\]$", result.stderr)
        == old
    )
    assert result.exit_code == 0 and "warning" not in result.stdout


def test_what_show_prints_is_a_release(tmp_path: Path) -> None:
    shown = run(tmp_path, "releases", "show", "k8s-1.37").stdout
    (tmp_path / "mine.yaml").write_text(shown.replace("name: k8s-1.37", "name: mine", 1))
    layout = layout_below(tmp_path)
    request = pod_request(
        ref=PodRef("arm", "virtual2"), base_uri=str(layout.pdf_dir), release=str(tmp_path / "mine.yaml")
    )
    assert resolve_request(request, layout, SavedPod()).order.release.name == "mine"
    assert run(tmp_path, "releases", "show", "./mine.yaml").stdout == shown.replace("k8s-1.37", "mine", 1)


def test_show_on_another_operating_system(tmp_path: Path) -> None:
    shown = run(tmp_path, "releases", "show", "iec-r1", "-o", "ubuntu1604").stdout
    data = load_yaml(shown, "shown").data
    assert isinstance(data, dict) and data["base_os"] == "ubuntu1604" and "variants" not in data
    assert "bionic" not in shown


def test_a_broken_release_is_refused_with_every_place(tmp_path: Path) -> None:
    text = run(tmp_path, "releases", "show", "k8s-1.37").stdout
    broken = text.replace("runtime: containerd", "runtime: podman").replace("encapsulation: ipip", "encapsulaton: ipip")
    (tmp_path / "broken.yaml").write_text(broken)
    result = run(tmp_path, "releases", "show", "./broken.yaml")
    assert isinstance(result.exception, DescriptorError) and result.stdout == ""
    lines = broken.splitlines()
    runtime, misspelt = sorted(result.exception.problems, key=lambda problem: problem.path, reverse=True)
    assert (runtime.path, runtime.line) == ("runtime", lines.index("runtime: podman") + 1)
    assert (misspelt.path, misspelt.line) == ("calico.encapsulaton", lines.index("  encapsulaton: ipip") + 1)
    assert "encapsulation" in misspelt.remedy


def test_diff(tmp_path: Path) -> None:
    text = run(tmp_path, "releases", "show", "k8s-1.37").stdout
    (tmp_path / "mine.yaml").write_text(text.replace("ipip", "vxlan").replace("- socat", "- socat\n- jq"))
    assert run(tmp_path, "releases", "diff", "k8s-1.37", "./mine.yaml").stdout.splitlines() == [
        "--- k8s-1.37",
        "+++ ./mine.yaml",
        "-calico.encapsulation: ipip",
        "+calico.encapsulation: vxlan",
        "+packages[]: jq",
    ]
    assert run(tmp_path, "releases", "diff", "k8s-1.37", "k8s-1.37").stdout == ""


def test_entries_with_names_are_compared_by_them(tmp_path: Path) -> None:
    lines = run(tmp_path, "releases", "diff", "k8s-1.37", "iec-r1").stdout.splitlines()
    assert "-repositories[docker].suites[]: noble" in lines and "+repositories[docker].suites[]: bionic" in lines
    assert not any(line[1:].startswith("repositories[docker].uri") for line in lines)


@pytest.mark.parametrize("name", ["k8s-1.37", "debian12"])
def test_bump_says_how_another_release_is_moved(tmp_path: Path, name: str) -> None:
    result = run(tmp_path, "releases", "bump", name)
    assert isinstance(result.exception, UsageError)
    assert result.exception.cause == f"{name} is no release of Go modules that iecpod brings"
    assert result.exception.remedy.startswith(f"move versions in a copy: `iecpod releases show {name} > mine.yaml`")


@pytest.mark.parametrize(("bumps", "first"), [((Bump("etcd", "3.7.3", "3.7.4"),), "etcd: 3.7.3 -> 3.7.4"), ((), None)])
def test_bump_lists_what_a_person_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bumps: tuple[Bump, ...], first: str | None
) -> None:
    review = Review("k8s-1.37-go.yaml:38: supported_until", "2027-10-28", "https://kubernetes.io/releases")
    monkeypatch.setattr(SoftwareMaking, "bump_release", lambda *_: (bumps, (review,)))
    assert run(tmp_path, "releases", "bump", "k8s-1.37-go").stdout.splitlines() == [
        first or "all modules are the newest",
        "to look at, since no module proxy knows it:",
        "  k8s-1.37-go.yaml:38: supported_until: 2027-10-28 (https://kubernetes.io/releases)",
    ]
