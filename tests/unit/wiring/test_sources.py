"""Which release a POD of lab local gets: the first whose sources answer, and never another one silently."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from iecpod.images.build import go_sources
from iecpod.model import PodRef
from iecpod.pods.request import PodRequest, lab_defaults
from iecpod.release.file import load_release
from iecpod.wait import SystemClock
from iecpod.wiring.sources import GivenSources
from tests.fakes import RecordingReporter
from tests.pod_requests import pod_request, saved_pod
from tests.unit.command_line import layout_below

#: A Go of the release's version; `list` asks the proxy.
_GO = """#!/bin/sh
case $1 in
    env) echo go{version}; echo "{root}" ;;
    list) echo "$*" >> "{root}/asked"; {asked} ;;
esac
"""
_MODULE = "k8s.io/kubernetes@v1.37.2"
_MISSING = (
    "Falling back to release debian12: Kubernetes 1.20.2, out of upstream's support since 2022-02-28, no DNS for "
    "services, no NetworkPolicy is enforced (pod network bridge)"
)


def _choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, request: PodRequest | None = None, saved: str = ""
) -> tuple[PodRequest, RecordingReporter]:
    """`asked` is what Go does when it asks the proxy."""
    layout, reporter = layout_below(tmp_path), RecordingReporter()
    source = load_release("k8s-1.37-go", layout.releases_dir, layout.schemas_dir).go
    assert source is not None
    program = tmp_path / "bin/go"
    program.parent.mkdir()
    program.write_text(_GO.format(version=source.toolchain.version, root=tmp_path, asked=asked))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(go_sources, "_ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(SystemClock, "today", lambda _clock: datetime.date(2026, 12, 1))
    options = saved_pod(release=saved or None).options
    request = request or pod_request(ref=PodRef("local", "virtual1"))
    return GivenSources(layout, reporter).with_default_software(request, options), reporter


def _warnings(reporter: RecordingReporter) -> list[str]:
    return [line.removeprefix("warning: ") for line in reporter.lines if line.startswith("warning: ")]


def test_the_first_release_is_taken_where_the_proxy_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, reporter = _choose(tmp_path, monkeypatch, "echo {}")
    assert chosen.software is not None and chosen.software.release == "k8s-1.37-go"
    assert _warnings(reporter) == []
    assert (tmp_path / "asked").read_text() == f"list -m -json {_MODULE}\n"
    assert any("release k8s-1.37-go: its sources answer" in line for line in reporter.lines)


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        ("exec sleep 30", f"the Go module proxy did not answer for {_MODULE}: timed out after 1 s"),
        (
            "echo go: no route to host >&2; exit 1",
            f"the Go module proxy does not provide {_MODULE}: go: no route to host",
        ),
        ("exit 1", f"the Go module proxy does not provide {_MODULE}: go exited with 1"),
    ],
    ids=["silent", "refused", "without a word"],
)
def test_a_fallback_names_what_did_not_answer_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, cause: str
) -> None:
    chosen, reporter = _choose(tmp_path, monkeypatch, asked)
    assert chosen.software is not None
    assert (chosen.software.release, chosen.software.scenario) == ("debian12", "k8-bridge-iec-noha")
    (warning,) = _warnings(reporter)
    assert warning.startswith(f"release k8s-1.37-go cannot be made here: {cause}; check GOPROXY, network and proxy")
    assert warning.endswith(_MISSING)


def test_an_older_clock_claims_no_end_of_support(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_below(tmp_path)
    sources = GivenSources(layout, RecordingReporter())
    monkeypatch.setattr(SystemClock, "today", lambda _clock: datetime.date(2022, 2, 28))
    last = lab_defaults("local").software[-1]
    assert sources._what_is_missing(last).startswith("Kubernetes 1.20.2, no DNS")


@pytest.mark.parametrize(
    ("given", "saved"),
    [({"release": "k8s-1.37-go"}, ""), ({}, "k8s-1.37-go"), ({"bundle": "0" * 64}, "")],
    ids=["given", "saved", "in a bundle"],
)
def test_software_that_was_chosen_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], saved: str
) -> None:
    request = pod_request(ref=PodRef("local", "virtual1"), **given)
    chosen, reporter = _choose(tmp_path, monkeypatch, "exit 1", request, saved)
    assert chosen == request and reporter.lines == [] and not (tmp_path / "asked").exists()
