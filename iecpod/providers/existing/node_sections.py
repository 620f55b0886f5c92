"""The form in which a script on a node answers: named sections of lines, each with the exit status of its command.

A header is `[NAME]`, a line of output begins with a space, and `=STATUS` ends a section, so that no output passes for
anything else. `[end]` comes last: what arrives without it was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

#: Of one section, on the node; a command that prints more is cut, and counts as failed.
SECTION_BYTES = 64 * 1024
SECTION_SECONDS = 20
_MOST_BYTES = 4 * 1024 * 1024

_END = "end"

#: Shell: `section NAME COMMAND…`. The command reads nothing, and what it complains of is left out.
SECTION = f"""
export LC_ALL=C
section() {{
    echo "[$1]"
    shift
    {{
        status=$(
            {{
                {{
                    timeout --kill-after=5 {SECTION_SECONDS} "$@" < /dev/null 2> /dev/null
                    echo $? >&3
                }} | head -c {SECTION_BYTES} | awk '{{ print " " $0 }}' >&4
            }} 3>&1
        )
    }} 4>&1
    echo "=$status"
}}
"""
END = f"echo '[{_END}]'\n"


@dataclass(frozen=True, slots=True)
class Section:
    """`status` is 0 where the command succeeded; what it printed is evidence only then."""

    lines: tuple[str, ...]
    status: int

    @property
    def known(self) -> tuple[str, ...]:
        """The lines of a command that succeeded; none of one that failed."""
        return self.lines if self.status == 0 else ()

    @property
    def first(self) -> str:
        """The first line, without blanks around it; empty where there is none, or the command failed."""
        return self.known[0].strip() if self.known else ""


def read_sections(text: str, names: Sequence[str], refuse: Callable[[str], Exception]) -> Mapping[str, Section]:
    """The sections by name. Raises `refuse(...)` unless all of `names` are there, each once, and nothing else is."""
    if len(text) > _MOST_BYTES:
        raise refuse(f"longer than {_MOST_BYTES} characters")
    found: dict[str, Section] = {}
    name, lines = "", list[str]()
    rows = text.split("\n")
    for row in rows:
        if row.startswith(" ") and name:
            lines.append(row[1:])
        elif (status := re.fullmatch("=([0-9]{1,3})", row, re.ASCII)) and name:
            found[name] = Section(tuple(lines), int(status[1]))
            name, lines = "", []
        elif (header := re.fullmatch(r"\[([a-z_]{1,40})\]", row)) and not name and header[1] not in found:
            name = header[1]
        elif row:
            raise refuse(f"`{row[:80]}` is no line of a section")
    if name != _END:
        raise refuse("it was cut short")
    missing = [wanted for wanted in names if wanted not in found]
    if missing or len(found) != len(names):
        raise refuse(f"sections are missing or unknown: {', '.join([*missing, *(set(found) - set(names))])}")
    return found
