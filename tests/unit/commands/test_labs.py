"""`iecpod labs`."""

from __future__ import annotations

import json
from pathlib import Path

from iecpod.errors import UsageError
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.pods.directory import save_pod
from tests import pods
from tests.pod_requests import saved_pod
from tests.unit.command_line import layout_below, run, write_pod


def test_labs_of_our_own(tmp_path: Path) -> None:
    pod_dir = layout_below(tmp_path).state_dir / "pods" / "arm" / "virtual1"
    pod_dir.mkdir(parents=True)
    save_pod(pod_dir, saved_pod(uri=EMBEDDED), pods.INSTALLATION)
    result = run(tmp_path, "labs")
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["POD", "NODES", "ARCH", "TYPE", "VALID", "DEPLOYED", "HYPERVISOR"],
        ["arm/virtual1", "3", "aarch64", "virtual", "yes", "yes", "embedded"],
        ["arm/virtual2", "3", "aarch64", "virtual", "yes", "no", "qemu:///system"],
        ["local/virtual1", "3", "x86_64", "virtual", "yes", "no", "embedded"],
    ]


def test_broken_ones_are_shown_as_such(tmp_path: Path) -> None:
    write_pod(tmp_path, "lab", "good")
    write_pod(tmp_path, "lab", "mixed", pdf={"nodes[0].node.type": "baremetal", "nodes[1].node.arch": "riscv"})
    lab = tmp_path / "labs" / "lab"
    (lab / "alone.yaml").write_text("nodes: [1, {node: 2}, {node: {arch: [x], type: virtual}}]\n")
    (lab / "torn.yaml").write_text("nodes: [\n")
    (lab / "idf-torn.yaml").write_text("- \x00")
    result = run(tmp_path, "labs", "-b", str(tmp_path), "-o", "json")
    assert result.exit_code == 0
    listed = {pod["pod"]: pod for pod in json.loads(result.stdout)}
    assert list(listed) == ["alone", "good", "mixed", "torn"]
    assert (listed["good"]["errors"], listed["good"]["deployed"]) == (0, False)
    assert listed["mixed"]["types"] == ["baremetal", "virtual"] and listed["mixed"]["errors"] >= 1
    assert (listed["alone"]["nodes"], listed["alone"]["archs"], listed["alone"]["types"]) == (3, [], ["virtual"])
    assert listed["torn"]["nodes"] == 0 and listed["torn"]["errors"] == 2
    assert "no: 2 errors" in run(tmp_path, "labs", "-b", str(tmp_path)).stdout


def test_a_base_without_any(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path, "labs", "-b", str(tmp_path)).exception, UsageError)
