"""How end-to-end tests compare machines: what may stay, and nothing else."""

from __future__ import annotations

import subprocess

from iecpod.providers.existing.restore.comparison import COMPARE, STAYS
from tests.e2e.existing.node_snapshot import SNAPSHOT, differences, staying_modules

_REPORTED = "kernel modules that stay until a reboot, as they are in use or cannot be unloaded: "
_SAID = f"12:00:01 warning: iec02: differs from before: {_REPORTED}overlay br_netfilter\nreturned\n"


def test_modules_that_teardown_reports_may_stay() -> None:
    assert f"{_REPORTED}$loaded" in COMPARE and STAYS not in _SAID
    assert staying_modules(_SAID, "iec02") == {"overlay", "br_netfilter"}
    assert staying_modules(_SAID, "iec01") == set()
    before, now = ["a", "module ext4"], ["a", "sysctl net.bridge.x = 1", "module br_netfilter", "module ext4"]
    assert differences(before, now, {"br_netfilter"}) == []
    assert differences(before, now, set()) == ["+sysctl net.bridge.x = 1", "+module br_netfilter"]


def test_everything_else_is_a_difference() -> None:
    before = ["swap /swapfile file 5", "sysctl net.ipv4.ip_forward = 0"]
    now = ["swap /swapfile file -2", "sysctl net.ipv4.ip_forward = 1", "module vxlan"]
    assert differences(before, now, {"overlay"}) == [
        "-swap /swapfile file 5",
        "-sysctl net.ipv4.ip_forward = 0",
        "+swap /swapfile file -2",
        "+sysctl net.ipv4.ip_forward = 1",
        "+module vxlan",
    ]


def test_the_script_is_valid() -> None:
    assert subprocess.run(["sh", "-n", "-c", SNAPSHOT], capture_output=True, timeout=60).stderr == b""
