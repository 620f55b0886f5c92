"""Texts of serial consoles."""

from __future__ import annotations

from iecpod.waiting.console import console_lines, console_tail, last_line


def test_consoles_are_read_without_what_paints_them() -> None:
    text = "\x1b[2J\x1b[01;01HBdsDxe: \x1b[0mloading\r\n\x1b]0;title\x07\x1b(B[  OK  ]\x00 sshd\r\n\r\n50%\r100%"
    assert console_lines(text) == ["BdsDxe: loading", "[  OK  ]  sshd", "100%"]
    assert (last_line(text), last_line("")) == ("100%", "")
    assert console_tail("iec01", "\x1b[2J\r\n") == "console of iec01: nothing was printed"
