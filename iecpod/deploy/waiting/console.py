"""What a guest printed on its serial console, as lines that people can read."""

from __future__ import annotations

import re

from iecpod.printable import overwritten

_TAIL_LINES = 15
_MOST_CHARACTERS = 200

#: ECMA-48: control sequences, operating system commands, and the two-character escapes of terminals.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
#: A panic; the exception that ends cloud-init (`ValueError: ...`, as Python prints it); a unit that does not start.
_CAUSES = (
    re.compile(r"Kernel panic - not syncing"),
    re.compile(r"cloud-init.*\b[A-Z]\w*(Error|Exception): "),
    re.compile(r"FAILED\W+Failed to "),
)
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def console_lines(console: str) -> list[str]:
    """Lines with something on them, without what moves a cursor or paints, as they were when they were left."""
    text = overwritten(_ESCAPES.sub("", console))
    lines = (_CONTROLS.sub(" ", line).strip() for line in text.split("\n"))
    return [line[:_MOST_CHARACTERS] for line in lines if line]


def last_line(console: str) -> str:
    return "".join(console_lines(console[-4096:])[-1:])


def telling_line(console: str) -> str:
    """The last line that names a failure of kernel, cloud-init or systemd, in this order; else the last line."""
    lines = console_lines(console)
    for cause in _CAUSES:
        if found := [line for line in lines if cause.search(line)]:
            return found[-1]
    return "".join(lines[-1:])


def console_tail(node: str, console: str) -> str:
    """The end of a console under a heading, to go with an error."""
    lines = console_lines(console)[-_TAIL_LINES:]
    if not lines:
        return f"console of {node}: nothing was printed"
    return "\n".join([f"console of {node}, its last lines:", *(f"    {line}" for line in lines)])
