"""Texts of serial consoles."""

from __future__ import annotations

import pytest

from iecpod.deploy.waiting.console import console_lines, console_tail, last_line, telling_line


def test_consoles_are_read_without_what_paints_them() -> None:
    text = "\x1b[2J\x1b[01;01HBdsDxe: \x1b[0mloading\r\n\x1b]0;title\x07\x1b(B[  OK  ]\x00 sshd\r\n\r\n50%\r100%"
    assert console_lines(text) == ["BdsDxe: loading", "[  OK  ]  sshd", "100%"]
    assert (last_line(text), last_line("")) == ("100%", "")
    assert console_tail("iec01", "\x1b[2J\r\n") == "console of iec01: nothing was printed"


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (["Linux version 6.1", "iec01 login:"], "iec01 login:"),
        (["[FAILED] Failed to start networking.service - Raise network interfaces.", "x"], 0),
        (
            ["\x1b[0;1;31mFAILED\x1b[0m] Failed to start cloud-init.service", "x"],
            "FAILED] Failed to start cloud-init.service",
        ),
        (
            [
                "[   61.0] cloud-init[312]: Traceback (most recent call last):",
                "[   61.1] cloud-init[312]: RuntimeError: Failed to apply network config names: [busy] enp1s0",
                "[FAILED] Failed to start cloud-init-local.service",
                "iec01 login:",
            ],
            1,
        ),
        (["cloud-init[3]: ValueError: x", "[  5.0] Kernel panic - not syncing: VFS", "---[ end Kernel panic"], 1),
    ],
)
def test_the_line_of_a_console_that_shows_the_cause(lines: list[str], line: str | int) -> None:
    assert telling_line("\r\n".join(lines)) == (line if isinstance(line, str) else lines[line])
