"""The script by which an emulated guest leaves a processor counter that its kernel has measured wrongly."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from iecpod.images.build.guest_clock import CLOCKSOURCE

_REFINED = "[    4.230854] tsc: Refined TSC clocksource calibration: 2445.426 MHz\n"
_OTHERS = (
    "[    0.056000] tsc: Detected 701.693 MHz processor\n[    5.235955] clocksource: Switched to clocksource tsc\n"
)


def _run(directory: Path, clocksource: str, kernel_log: str) -> tuple[str, list[str]]:
    """What the clock source is afterwards, and how often the time was set to what."""
    clock = directory / "sys/devices/system/clocksource/clocksource0/current_clocksource"
    rtc = directory / "sys/class/rtc/rtc0/since_epoch"
    for path, text in ((clock, f"{clocksource}\n"), (rtc, "1800000000\n"), (directory / "log", kernel_log)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    programs = directory / "bin"
    programs.mkdir()
    for name, does in (
        ("dmesg", f"cat {directory}/log"),
        ("date", f'echo "$*" >> {directory}/set'),
        ("sleep", f"echo tsc > {clock}"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    script = CLOCKSOURCE.replace("/sys/", f"{directory}/sys/")
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    times = directory / "set"
    return clock.read_text().strip(), times.read_text().splitlines() if times.exists() else []


@pytest.mark.parametrize("clocksource", ["tsc", "tsc-early", "jiffies"])
def test_a_counter_that_was_not_confirmed_is_left_and_the_time_is_set(tmp_path: Path, clocksource: str) -> None:
    assert _run(tmp_path, clocksource, _OTHERS) == ("hpet", ["--set @1800000000"])


@pytest.mark.parametrize("clocksource", ["tsc", "tsc-early"])
def test_a_counter_that_was_confirmed_stays(tmp_path: Path, clocksource: str) -> None:
    assert _run(tmp_path, clocksource, _OTHERS + _REFINED) == ("tsc", [])


@pytest.mark.parametrize("clocksource", ["kvm-clock", "hpet", "acpi_pm"])
def test_another_clock_stays(tmp_path: Path, clocksource: str) -> None:
    assert _run(tmp_path, clocksource, _OTHERS) == (clocksource, [])
