"""Private keys in texts: whole blocks between their markers, and what bounds have left of a block.

One pass over the markers; what is between two of them is looked at once from each side, so the work is linear.
"""

from __future__ import annotations

import re

from iecpod.descriptors.redaction import SHOWN

#: RFC 7468, and `PGP PRIVATE KEY BLOCK` of RFC 9580.
_MARKER = re.compile(r"-----(BEGIN|END) (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----")

#: A longer block is none: what is missing between two markers is not cut with all that is between.
_MOST_CHARACTERS = 100_000

#: A line of a key that was cut in two differs from other text by a run of base64 so long, or a shorter one at its end.
_KEY_LINE = re.compile(r"[A-Za-z0-9+/]{40}|[A-Za-z0-9+/]{20}={0,2}[ \t\r]{0,8}$")
#: What may stand between a first marker and the key: `Proc-Type: 4,ENCRYPTED`, `Version: GnuPG v2`, an empty line.
_HEADER = re.compile(r"[A-Z][A-Za-z-]{1,30}: \S|:?[ \t\r]{0,8}$")
_MOST_HEADERS = 6


def cut_private_keys(text: str) -> str:
    """`SHOWN` in the place of each key; in that of each line of a key without beginning or end."""
    pieces: list[str] = []
    cursor = 0
    markers = list(_MARKER.finditer(text))
    for index, marker in enumerate(markers):
        if marker.start() < cursor:
            continue
        following = markers[index + 1] if index + 1 < len(markers) else None
        if _is_block(marker, following):
            start, end, shown = marker.start(), following.end() if following else 0, SHOWN
        elif marker[1] == "BEGIN":
            start, end, shown = _beginning(text, cursor, marker, following.start() if following else len(text))
        else:
            start, end, shown = _ending(text, cursor, marker)
        pieces += (text[cursor:start], shown)
        cursor = end
    return "".join([*pieces, text[cursor:]]) if pieces else text


def _is_block(marker: re.Match[str], following: re.Match[str] | None) -> bool:
    return (
        following is not None
        and (marker[1], following[1]) == ("BEGIN", "END")
        and following.start() - marker.end() <= _MOST_CHARACTERS
    )


def _beginning(text: str, cursor: int, marker: re.Match[str], limit: int) -> tuple[int, int, str]:
    """Of a key without an end: the line of the marker, and what follows and looks like a key, as far as `limit`."""
    start, end = text.rfind("\n", cursor, marker.start()) + 1 or cursor, _line_end(text, marker.end())
    lines = 1
    skipped = 0
    at = end
    while at + 1 < limit:
        line_end = _line_end(text, at + 1)
        line = text[at + 1 : line_end]
        if _KEY_LINE.search(line):
            lines, skipped, end = lines + skipped + 1, 0, line_end
        elif lines == 1 and skipped < _MOST_HEADERS and _HEADER.search(line):
            skipped += 1
        else:
            break
        at = line_end
    return start, end, "\n".join([SHOWN] * lines)


def _ending(text: str, cursor: int, marker: re.Match[str]) -> tuple[int, int, str]:
    """Of a key without a beginning: the line of the marker, the one above, and further ones that look like a key."""
    start = text.rfind("\n", cursor, marker.start()) + 1 or cursor
    lines = 1
    while start > cursor:
        above = text.rfind("\n", cursor, start - 1) + 1 or cursor
        # The last line of a key, and the first of a text that was cut, are of any length.
        if lines > 1 and above > 0 and not _KEY_LINE.search(text[above : start - 1]):
            break
        start, lines = above, lines + 1
    return start, _line_end(text, marker.end()), "\n".join([SHOWN] * lines)


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found
