"""A worker that changed is recreated in a cluster that runs on."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.e2e.command import HOSTNAMES, LAB, POD, Iecpod, deploy_in_phase
from tests.e2e.small_lab import ROOT

_MORE_MIB = 1664


def _base_with_a_larger_iec03(directory: Path) -> Path:
    shutil.copytree(ROOT / "pdf", directory)
    path = directory / "labs" / "local" / "virtual1.yaml"
    changed = f"    node: {{<<: *worker, memory: {_MORE_MIB}M}}\n"
    text = path.read_text()
    assert text.count("    node: *worker\n") == 1
    path.write_text(text.replace("    node: *worker\n", changed))
    return directory


def _node_uids(pod: Iecpod) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in pod.get("nodes")["items"]}


def _boots(pod: Iecpod) -> dict[str, str]:
    return {name: pod.on_node(name, "cat", "/proc/sys/kernel/random/boot_id").strip() for name in HOSTNAMES}


def _memory_mib(pod: Iecpod, hostname: str) -> int:
    return int(pod.on_node(hostname, "awk", "/^MemTotal/{print $2}", "/proc/meminfo")) // 1024


def _switch_off_in_its_join(pod: Iecpod, hostname: str) -> None:
    deadline = time.monotonic() + 600
    while pod.run("ssh", hostname, "--", "systemctl", "is-active", "iecpod-kubeadm-join").stdout != "activating\n":
        assert time.monotonic() < deadline, "the join has not started"
        time.sleep(1)
    pod.virsh("destroy", f"{LAB}-{POD}-{hostname}")


def test_only_the_worker_that_changed_is_recreated(pod: Iecpod, tmp_path: Path) -> None:
    """Though it is switched off in the middle of its join: that ends the wait, and a deploy resumes."""
    uids, boots = _node_uids(pod), _boots(pod)
    base = _base_with_a_larger_iec03(pod.root / "base")

    refused = pod.run("deploy", "-b", str(base))
    assert refused.returncode == 4 and "`iecpod redeploy --changed` recreates it" in refused.stderr
    log = tmp_path / "log"
    with deploy_in_phase(pod, "workers", log, "redeploy", "--changed", "-b", str(base)) as process:
        _switch_off_in_its_join(pod, "iec03")
        switched_off_at = time.monotonic()
        assert process.wait(timeout=600) == 1, log.read_text()
    assert time.monotonic() - switched_off_at < 240
    shown = log.read_text()
    assert "iec03: its virtual machine does not run any more" in shown and "Traceback" not in shown
    assert f"resume with `iecpod deploy -l {LAB} -p {POD}" in shown
    pod.check("deploy")

    uids_after, boots_after = _node_uids(pod), _boots(pod)
    assert {name for name in HOSTNAMES if uids_after[name] != uids[name]} == {"iec03"}
    assert {name for name in HOSTNAMES if boots_after[name] != boots[name]} == {"iec03"}
    assert _memory_mib(pod, "iec03") > _memory_mib(pod, "iec02") + 64
    outcomes = {phase["name"]: phase["outcome"] for phase in pod.report()["phases"]}
    assert {outcomes[name] for name in ("networks", "storage", "control-plane")} == {"in place"}
    assert {outcomes[name] for name in ("domains", "reachable", "workers", "verify")} == {"done"}
    assert "in place" in pod.check("deploy").splitlines()[-1]
