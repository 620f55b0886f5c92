"""A deploy that is killed twice, while guests boot and while kubeadm runs, is resumed each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import REUSED_ROOT, Iecpod

pytestmark = [
    pytest.mark.killed_deploy,
    pytest.mark.skipif(REUSED_ROOT is not None, reason="the deploy of the POD that is reused was not killed"),
]


def _outcomes(report: Path) -> dict[str, str]:
    read = json.loads(report.read_text())
    assert read["outcome"] == "done"
    return {phase["name"]: phase["outcome"] for phase in read["phases"]}


def test_it_resumes_where_guests_boot(guests: Iecpod) -> None:
    outcomes = _outcomes(guests.root / "guests.json")
    assert {outcomes[name] for name in ("networks", "storage", "domains")} == {"in place"}
    assert outcomes["reachable"] == "done"


def test_it_resumes_where_kubeadm_runs(pod: Iecpod) -> None:
    outcomes = _outcomes(pod.root / "report.json")
    assert list(outcomes) == [
        *("image", "networks", "storage", "domains", "reachable", "runtime", "control-plane"),
        *("kubeconfig", "cni", "workers", "ready", "prune", "helm", "verify"),
    ]
    assert {outcomes[name] for name in ("networks", "storage", "domains", "reachable")} == {"in place"}
    assert {outcomes[name] for name in ("control-plane", "workers", "ready", "verify")} == {"done"}
