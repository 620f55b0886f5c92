"""Values cut out of a text: the loop that the parts of the scrubber share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from iecpod.descriptors.redaction import SHOWN


def cut_spans(
    text: str, found: Iterable[re.Match[str]], span_of: Callable[[re.Match[str]], tuple[int, int] | None]
) -> str:
    """Without the value that `span_of` finds behind each match. What was cut is not looked at again, so the work is
    linear; what a part before has cut stays as it shows it.
    """
    pieces: list[str] = []
    cursor = 0
    for match in found:
        span = span_of(match) if match.start() >= cursor else None
        if span is not None and span[0] < span[1]:
            pieces += (text[cursor : span[0]], text[slice(*span)] if text.startswith(SHOWN, span[0]) else SHOWN)
            cursor = span[1]
    return "".join([*pieces, text[cursor:]]) if pieces else text
