"""What the record is made of, where a node does not answer."""

from __future__ import annotations

import subprocess

import pytest

from iecpod.providers.existing.restore.observation import OBSERVE


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


def test_a_swap_is_listed_with_its_priority() -> None:
    swaps = "Filename Type Size Used Priority\n/dev/vda5 partition 9 0 5\n"
    seen = observe(f'awk() {{ command awk "$1" <<END\n{swaps}END\n}}\nlist_swaps')
    assert (seen.returncode, seen.stdout) == (0, "/dev/vda5 5\n")


def test_routes_that_cannot_be_listed_are_unknown() -> None:
    seen = observe("ip() { test \"$1\" = -4 && echo 'default via 10.0.0.1 dev eth0 linkdown '; }\nlist_routes")
    has_ipv6 = observe("test -e /proc/net/if_inet6").returncode == 0
    assert (seen.returncode, seen.stdout) == ((1, "") if has_ipv6 else (0, "default via 10.0.0.1 dev eth0\n"))


def test_routes_are_listed_without_what_changes_by_itself() -> None:
    routes = "local 10.0.0.2 dev eth0 table local proto kernel\n10.9.0.0/16 dev eth1 expires 12sec linkdown \n"
    seen = observe(f"ip() {{ test $1 = -6 || printf '{routes}'; }}\nlist_routes")
    assert (seen.returncode, seen.stdout) == (0, "10.9.0.0/16 dev eth1\n")
