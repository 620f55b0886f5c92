"""What the record is made of, where a node does not answer."""

from __future__ import annotations

import subprocess

import pytest

from iecpod.providers.existing.record import OBSERVE


def observe(script: str) -> subprocess.CompletedProcess[str]:
    argv = ["sh", "-uc", f"{OBSERVE}\n{script}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("what", "times"), [pytest.param("enabled", 1, id="of the files"), pytest.param("active", 4, id="of systemd")]
)
def test_a_silent_systemd_is_not_one_without_units(what: str, times: int) -> None:
    """It is asked again before it is given up."""
    seen = observe(f"systemctl() {{ echo 'Failed to list: Connection timed out' >&2; return 1; }}\nlist_{what}")
    assert (seen.returncode, seen.stdout) == (1, "")
    assert seen.stderr.count("Connection timed out") == times


def test_a_systemd_that_answers_late_is_believed() -> None:
    late = """
    count=$(mktemp)
    systemctl() {
        echo x >> "$count"
        test "$(wc -l < "$count")" -gt 2 && echo "b.service loaded active"
    }
    """
    seen = observe(f"{late}\nlist_active")
    assert (seen.returncode, seen.stdout) == (0, "b.service\n")


def test_nothing_is_a_valid_answer() -> None:
    seen = observe("systemctl() { :; }\nlist_enabled; list_active")
    assert (seen.returncode, seen.stdout) == (0, "")
