"""What errors say."""

from __future__ import annotations

from iecpod.errors import (
    CommandFailed,
)


def test_a_command_of_many_lines_is_named_by_its_first() -> None:
    error = CommandFailed("iec01", ["sh", "-ec", "export A=1\napt-get update"], 100, "E: no\n")
    assert error.cause == "iec01: `sh -ec export A=1…` exited with 100\nE: no"
