"""Text from outside as a terminal, a log or a web page may show it: nothing in it acts, hides or turns other text.

The reporters, the command line and JUnit's XML pass everything through here, so no other module has to.
"""

from __future__ import annotations

#: Letters and marks to Unicode that are drawn as nothing (Default_Ignorable_Code_Point of DerivedCoreProperties.txt).
_IGNORABLE = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
    )
)


class _Shown(dict[int, str]):
    """For `str.translate`: what is shown for a character, found once each."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        # Not printable by Python's own rule: controls (C0, DEL, C1), formats (bidi overrides, zero-width), surrogates,
        # line separators, private and unassigned characters, and spaces other than the ASCII one.
        is_shown = character.isprintable() and code not in _IGNORABLE
        self[code] = shown = character if is_shown else ascii(character)[1:-1]
        return shown


_IN_TEXT = _Shown({ord("\n"): "\n", ord("\t"): "\t"})
_IN_LINE = _Shown()


def printable(text: str) -> str:
    r"""What is not visible as itself is written as in Python: `\x1b`, `\u202e`, `\udcff` for a byte that is no text.

    Lines and tabs stay. CR before LF goes.
    """
    return text.replace("\r\n", "\n").translate(_IN_TEXT)


def printable_line(text: str) -> str:
    r"""As `printable`, for what has to stay in its line: newlines and tabs are `\n` and `\t`."""
    return text.translate(_IN_LINE)


def printable_entry(text: str, indent: str = "    ") -> str:
    """As `printable`, with further lines indented, so that they cannot pass for entries of their own."""
    return printable(text).rstrip("\n").replace("\n", f"\n{indent}")


def overwritten(text: str) -> str:
    """What stays on a terminal of lines that are written over and over, as by progress bars: the last text of each."""
    return "\n".join(_last_text(line) for line in text.split("\n"))


def _last_text(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")
