"""An emulated machine whose kernel takes the counter of its processor for a third as fast as it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e import small_lab
from tests.e2e.command import HOSTNAMES, RELEASE, Iecpod
from tests.e2e.teardown import torn_down

_NODE = HOSTNAMES[0]
_WRONG_KHZ = 700_000
#: Its clock would be ahead by more than that after a second.
_MOST_SECONDS_OFF = 3.0


def _write_release(directory: Path) -> Path:
    text = (small_lab.ROOT / f"iecpod/releases/{RELEASE}.yaml").read_text()
    old = "  kernel_arguments:\n"
    assert old in text
    path = directory / "wrong-counter.yaml"
    path.write_text(text.replace(old, f"{old}    - tsc_early_khz={_WRONG_KHZ}\n", 1))
    return path


@pytest.fixture(scope="module")
def pod(base_image: None) -> Iterator[Iecpod]:
    with TemporaryDirectory(prefix="iecpod-e2e-clock-") as directory:
        root = Path(directory)
        small_lab.write_descriptors(root / "base")
        options = ("-b", f"file://{root}/base", "--release", str(_write_release(root)), "--virt-type", "qemu")
        with torn_down(Iecpod(root, small_lab.LAB, small_lab.SINGLE)) as command:
            command.check("deploy", "-c", "embedded", "-s", "k8-kube-router-iec-noha", "--until", "reachable", *options)
            yield command


def test_the_counter_is_left(pod: Iecpod) -> None:
    clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    assert pod.on_node(_NODE, "cat", clock) == "hpet\n"


def test_time_passes_as_on_the_host(pod: Iecpod) -> None:
    assert pod.seconds_off(_NODE) < _MOST_SECONDS_OFF
    time.sleep(10)
    assert pod.seconds_off(_NODE) < _MOST_SECONDS_OFF
